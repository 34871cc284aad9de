"""`transfer train-base` and `transfer sweep`: a study's networks, trained by its recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfercli.plan.networks import bases, transfers, varied, without_need
from transfercli.plan.tasks import HALVES
from transfercli.plan.treatments import failed
from transfercli.plan.words import ALL, check_layers, evenly, parse_choices, parse_layers, parse_targets, parse_treatments
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.settling import settle_recipe
from transfercli.system.device_names import CPU, Remote
from transfercli.system.devices import pick_device
from transfercli.training import train as training
from transfercli.training.reporter import SILENT, Reporter

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Trained:
    """The networks that were asked for: trained and measured, now or before."""

    rows: list[dict[str, Any]]  # as `Study.rows` has them
    left_out: tuple[str, ...] = ()  # halves whose base no network of the recipe needs
    lacking: tuple[str, ...] = ()  # which bases have nothing to transfer, so that what needs them was left out, and what to do

    @property
    def table(self) -> "pandas.DataFrame":
        import pandas

        return pandas.DataFrame(self.rows)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of networks that say nothing about transfer: they diverged, or learned nothing.

        Of a way to train that was tried at several learning rates that row counts which the table counts.
        """
        counted = self.rows
        if any("rate" in row for row in counted):
            from transfercli.study.best import at_best  # which takes pandas

            counted = at_best(self.table).to_dict("records")  # type: ignore[assignment]
        return [row for row in counted if failed(row["treatment"], row["status"])]


def train_base(
    study: Study,
    halves: str | Sequence[str] | None = None,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    device: str = "auto",
    bank_size: int | None = None,
    accept_change: bool = False,
    remote: Remote | None = None,
    reporter: Reporter = SILENT,
) -> Trained:
    """Train the bases of these halves (None: of those that the recipe's networks need), for every split and seed.

    recipe, overrides, smoke: as `split` takes them; remote: on several devices, in the place of `device`;
    the rest as `train`. Bases that are done stay as they are. Killed, the same
    call goes on where it was. Raises TransferError.
    """
    study.check_plain()
    wanted = None if halves is None else parse_choices(_listed(halves), HALVES, "half")
    settled, where = settle_recipe(study, recipe, overrides, smoke), pick_device(CPU if remote else device)
    splits = study.need_splits()
    needed = [network for network in settled.planned(splits) if network.is_base]
    tasks = {task.name for name in splits for task in study.halves(name).split.tasks}
    left_out = () if wanted else sorted(tasks - {base.target for base in needed})
    asked = [varied(one, net=net) for net in settled.each() for one in bases(splits, settled.seeds, wanted or ())]
    of_amounts = [one for one in needed if one.target in (wanted or ()) and one not in asked]
    networks = asked + of_amounts if wanted else needed
    _write(study, settled)
    return Trained(training.train(study, networks, where, bank_size, reporter, accept_change, remote=remote), tuple(left_out))


def train_all(study: Study, remote: Remote, bank_size: int | None, accept_change: bool, reporter: Reporter) -> None:
    """Train all that the study's recipe plans, on several devices: each network as soon as the base that it copies is there.

    `train_base` and `sweep` find it done then, or say what is not. Raises TransferError.
    """
    settled = settle_recipe(study, None)
    _write(study, settled)
    networks, here = settled.planned(study.need_splits()), pick_device(CPU)
    training.train(study, networks, here, bank_size, reporter, accept_change, remote=remote)


def sweep(
    study: Study,
    layers: str | Sequence[int] | None = None,
    treatments: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    device: str = "auto",
    bank_size: int | None = None,
    accept_change: bool = False,
    remote: Remote | None = None,
    reporter: Reporter = SILENT,
) -> Trained:
    """Train the transfer networks of these layers (`1-7` or numbers), treatments and target halves; None: the recipe's.

    The rest as `train_base`. Raises TransferError, also where a base is missing or has learned nothing. Where a recipe has
    several networks, what needs a base that has learned nothing is left out, as `lacking` says.
    """
    study.check_plain()
    chosen = None if layers is None or layers == ALL else parse_layers(_listed(layers))
    kinds = None if treatments is None else parse_treatments(_listed(treatments))
    onto = None if targets is None else parse_targets(_listed(targets))
    settled, where = settle_recipe(study, recipe, overrides, smoke), pick_device(CPU if remote else device)
    if kinds is not None:
        kinds = parse_treatments(_listed(kinds), [one.name for one in settled.own_treatments])
    depths = {net: one.network.depth for net, one in settled.each().items()}
    check_layers(chosen or (), max(depths.values()))
    networks = []
    for net, one in settled.each().items():
        every = evenly(depths[net], None)
        numbers = [n for n in chosen if n in every] if chosen else every if layers else one.swept
        middle = () if layers else one.middle
        of_net = transfers(study.need_splits(), one.seeds, onto or one.targets, numbers, kinds or one.treatments, middle)
        networks += [varied(network, net=net) for network in settled.of_amounts(of_net)]
    networks = settled.tried(networks)
    failed = training.check_bases(study, networks, settled)
    _write(study, settled)
    going = without_need(networks, failed)
    rows = training.train(study, going, where, bank_size, reporter, accept_change, remote=remote)
    return Trained(rows, lacking=tuple(failed.values()))


def _write(study: Study, recipe: Recipe) -> None:
    with study.held([]):  # so that no recipe changes under a call that trains by it
        study.write_recipe(recipe)


def _listed(words: str | Sequence[object]) -> str:
    return words if isinstance(words, str) else ",".join(map(str, words))
