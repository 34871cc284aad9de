"""A study read again, believing nothing that it says of itself: digests, rows, logs, weights, the table, and every accuracy."""

import copy
import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from transfercli.networks.pretrained import find
from transfercli.networks.start import Source, blueprint, build, digest, names_of, start
from transfercli.pictures.stream import Pixels
from transfercli.plan.jobs import jobs
from transfercli.plan.networks import PRETRAINED, RANDOM, Network, columns, of_row
from transfercli.plan.resolve import Resolved, resolve
from transfercli.recipe.schema import Recipe
from transfercli.study.checkpoint_files import FILES, FOLDER
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.study.rows import HOLDOUT_COLUMN, LOG_COLUMNS, mixtures, read_row, table_text
from transfercli.study.splits import Halves
from transfercli.study.versions import begun
from transfercli.system.devices import device_name, pick_device, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text
from transfercli.system.progress import ignored
from transfercli.training import checkpoints
from transfercli.training.amounts import classes_of, of_classes
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench, load_weights
from transfercli.training.cost import share_copied
from transfercli.training.finish import PREDICTIONS, best10, gives, guess, held_out, status
from transfercli.training.snapshots import kept
from transfercli.training.stopping import best, ends

POINTS, PICTURES, LOSS = 0.01, 2, 0.02  # how far an accuracy may be from its row's where another machine measures it (`same`)
EXACT = 1e-9  # means of as many pictures may differ by rounding
WEIGHTS = "weights.safetensors"
NEEDED = ("val_pictures", "train_loss", "precision")  # beside what every row has

Line = dict[str, float]


@dataclass
class Report:
    """How many of what were checked, and each problem in a line."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)  # what could not be checked, and why

    def check(self, what: str, fine: bool, problem: str) -> bool:
        """Count one `what`; where it is not fine, note the problem."""
        self.counts[what] += 1
        if not fine:
            self.problems.append(problem)
        return fine

    @contextmanager
    def gathering(self, what: str) -> Iterator[None]:
        """Count one `what`; a TransferError becomes a problem."""
        self.counts[what] += 1
        try:
            yield
        except TransferError as error:
            self.problems.append(str(error))


_built = lru_cache(maxsize=2)(build)  # of the halves' classes; copied for each network


class Again(Bench):
    """Banks of trained networks, only to be measured. Nothing is written."""

    def bank(self, networks: Sequence[Network]) -> Bank:
        bank = super().bank(networks)
        for member in bank.members:
            member.shared = member.resolved.prefix  # what has learned at any time is shared with nobody
        return bank

    def start(self, resolved: Resolved, sources: Mapping[str, Source]) -> nn.Module:
        module = copy.deepcopy(_built(self.recipe, len(classes_of(self.halves.split, resolved.network))))
        module.load_state_dict(load_weights(self.study, resolved.network))
        return module

    def source(self, origin: str, of: Resolved) -> Source:
        return Source({}, "")  # no layer is copied, and the donor's own check says whether its weights are its row's

    def keep_mean(self, half: str, mean: Tensor) -> None:
        pass


def verify(
    study: Study, device: str | torch.device = "auto", bank_size: int | None = None, say: Callable[[str], None] = ignored
) -> Report:
    """Check all of a study that can be checked; `say` is told how far it is. Nothing is written.

    Raises TransferError only where there is no study, or one without its weights.
    """
    study.check_plain()
    if not study.row_files() and (study.root / "results.csv").exists():
        look = command("analyze", study=study)
        raise TransferError(
            f"{study.root} holds a table without its networks, so there are no weights to measure; look at it with: {look}"
        )
    device = pick_device(device) if isinstance(device, str) else device
    report, recipe = Report(), study.recipe()
    report.counts["recipe"] += 1
    with report.gathering("versions"):
        begun(study)
    found = _rows(study, report)
    _table(study, list(found.values()), report)
    for mixed in mixtures(found.values()):
        report.check("sources", False, mixed)
    for path in sorted(study.root.rglob(f"{FOLDER}/{FILES}")):
        try:
            checkpoints.load(path)
            report.counts["checkpoints"] += 1
        except ValueError as error:
            report.check("checkpoints", False, str(error))
    for name in study.split_names():
        of_split = {network: row for network, row in found.items() if network.split == name}
        with report.gathering("splits"), reproducible(device):
            halves = study.halves(name)
            given = _given(recipe, report)
            sound = [n for n, row in of_split.items() if _network(study, recipe, halves, n, row, given, report)]
            say(f"{name}: {len(sound)} of {len(of_split)} networks are measured again, on {device_name(device)}")
            loaded: dict[tuple[str, str], Pixels] = {}
            for net, precision in sorted({(n.net, of_split[n]["precision"]) for n in sound}):
                bench = Again(study, recipe.of(net), halves, device, getattr(torch, precision), loaded=loaded)
                bench.folder.source.verify()
                for task in halves.split.tasks:
                    _mean(bench, task.name, report)
                members = [n for n in sound if (n.net, of_split[n]["precision"]) == (net, precision)]
                size = bank_size or bench.fits(dict.fromkeys(network.target for network in members), ("val",))
                for network in members:
                    _status(bench, network, of_split[network], report)
                for network in sorted(members, key=lambda n: (n.target, n.seed)):  # in whose order a bench has random features
                    _statistics(bench, network, of_split[network], report)
                for job in jobs(members, size):
                    _measure(bench, job.networks, of_split, report)
    return report


def _rows(study: Study, report: Report) -> dict[Network, dict[str, Any]]:
    """Every row that can be read and is that of its folder's network."""
    found = {}
    for path in study.row_files():
        with report.gathering("rows"):
            row = read_row(path)
            if missing := [key for key in NEEDED if key not in row]:
                raise TransferError(f"{path} lacks {', '.join(missing)}; remove its folder and train the network again")
            found[_identity(study, row, path)] = row
    return found


def _identity(study: Study, row: dict[str, Any], path: Path) -> Network:
    network = of_row(row)
    if study.folder(network) != path.parent or not columns(network).items() <= row.items():
        raise TransferError(f"{path} is the row of another network, {row['split']} {row['network']}; remove it and train again")
    return network


def _table(study: Study, rows: list[dict[str, Any]], report: Report) -> None:
    if rows:
        path = study.root / "results.csv"
        with report.gathering("table"):
            if not path.exists() or read_text(path) != table_text(study.rows()):
                raise TransferError(f"{path} is not what the rows say; make it anew: {command('train-base', study=study)}")


def _network(
    study: Study,
    recipe: Any,
    halves: Halves,
    network: Network,
    row: dict[str, Any],
    given: Source | None,
    report: Report,
) -> bool:
    """Row, log and weights of one network; True where it can be measured. `given`: pretrained weights, where they are there."""
    who = f"{network.split} {network.name}" + f" (seed {network.seed})" * bool(network.seed)

    def check(what: str, fine: bool, problem: str) -> bool:
        return report.check(what, fine, f"{who}: {problem}")

    if network.net not in recipe.each():
        return check("digests", False, "the recipe has no such network")
    recipe = recipe.of(network.net)
    check("digests", row.get("recipe_digest") == recipe.digest(), "its row is of another recipe")
    check("digests", row.get("split_digest") == halves.digest, "its row is of another split")
    classes, pictures = len(classes_of(halves.split, network)), halves.counts[network.target]["val"]
    expected = {"classes": classes, **({} if "share" in dict(network.axes) else {"val_pictures": pictures})}
    wrong = {key: row.get(key) for key, value in expected.items() if row.get(key) != value}
    check("rows against their split", not wrong, f"its row has {wrong}, not {expected}")
    with report.gathering("logs"):
        log = read_log(study.folder(network) / "log.csv")
        for problem in _log_problems(log, row, network, recipe, halves.steps_of(network, recipe)):
            check("logs", False, problem)
    module = blueprint(recipe, classes)
    share = round(share_copied(recipe, classes, network.first, network.layer), 6)
    check("rows against their split", row.get("share_copied", share) == share, "its row has another share_copied")
    if network.seed < (recipe.pictures.folds or 0):
        if "holdout_top1" in row:  # what diverged has none
            with report.gathering("predictions"):
                _predictions(study, network, row, check)
        if not recipe.training.keep_weights and not (study.folder(network) / WEIGHTS).exists():
            report.counts["weights that were not to be kept"] += 1
            return False
    try:
        weights = load_weights(study, network)
    except TransferError as error:
        return report.check("weights", False, str(error))
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if not check("weights", shapes == wanted, "its weights have other names or shapes than the recipe's network"):
        return False
    if "weights_digest" in row:  # rows of old have none
        check("digests", digest(weights, sorted(weights)) == row["weights_digest"], "its weights are not those of its row")
    if "snapshots" in row:
        with report.gathering("snapshots"):
            shares = [float(pair.partition("=")[0]) for pair in row["snapshots"].split()]
            check("snapshots", kept(study, network, shares) == row["snapshots"], "its snapshots are not those of its row")
    resolved = resolve(network, recipe.network.depth)
    if "network_digest" in row:  # rows of old have none
        now = resolved.digest(recipe.digest(), halves.digest)
        check("digests", row["network_digest"] == now, f"it was trained by another treatment {network.treatment}")
    _frozen(study, recipe, classes, resolved, row, weights, names_of(module, resolved.frozen), given, check, report)
    return True


def _given(recipe: Recipe, report: Report) -> Source | None:
    """The pretrained weights that the recipe names, where they are there still and are those that the study was begun with."""
    if (source := recipe.pretrained) is None:
        return None
    try:
        found = find(source.weights or "", recipe.network, recipe.pictures.crop)
    except TransferError as error:
        report.unchecked.append(f"whether frozen layers are the pretrained ones: {error}")
        return None
    same = report.check("sources", found.digest == source.digest, f"{source.weights} holds other weights now")
    return Source(found.state, found.digest) if same else None


def _predictions(study: Study, network: Network, row: dict[str, Any], check: Callable[[str, bool, str], bool]) -> None:
    """What the network said of each picture gives its row's accuracies. Raises TransferError."""
    path = study.folder(network) / PREDICTIONS
    try:
        told = load_file(path)
        right = {part: (told[part] == told[f"{part}_labels"]).double().mean().item() for part in ("val", "holdout")}
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise TransferError(f"{path} is damaged ({error}); remove its folder and train the network again") from None
    if "predictions_digest" in row:  # rows of old have none
        check("predictions", digest(told, sorted(told)) == row["predictions_digest"], "its predictions are not those of its row")
    for part, key in (("val", "top1"), ("holdout", "holdout_top1")):
        fine = row[key] is not None and abs(right[part] - row[key]) < EXACT
        check("predictions", fine, f"its row has {key} {row[key]}, its predictions give {right[part]}")


def _frozen(
    study: Study,
    recipe: Any,
    classes: int,
    resolved: Resolved,
    row: dict[str, Any],
    weights: dict[str, Tensor],
    names: list[str],
    given: Source | None,
    check: Callable[[str, bool, str], bool],
    report: Report,
) -> None:
    """Frozen layers are those of the base, of the source or of the random draw, and their digests are the row's."""
    before, after = row.get("frozen_digest_before"), row.get("frozen_digest_after")
    check("digests", before == after == digest(weights, names), "its frozen layers are not those of its row")
    pretrained = PRETRAINED in resolved.origins
    if not names or (pretrained and given is None):
        return
    with report.gathering("frozen layers"):
        donor = resolved.network.donor
        at = dict(resolved.network.axes).get("at")
        sources = {origin: Source.of(load_weights(study, donor, at)) for origin in resolved.sources} if donor else {}
        if given is not None:
            sources[PRETRAINED] = given
        began = start(recipe, resolved, classes, sources).state_dict()
        buffers = {name for name, _ in blueprint(recipe, classes).named_buffers()}  # of random layers they are of pictures
        known = [name for name in names if donor or pretrained or name not in buffers]
        if other := [name for name in known if not torch.equal(weights[name], began[name])]:
            what = f"{donor.name}'s" if donor else "the source's" if pretrained else "the random draw's"
            check("frozen layers", False, f"its frozen layers are not {what}: {', '.join(other)}")


def read_log(path: Path) -> list[Line]:
    """A network's log. Raises TransferError where it is not one."""
    try:
        reader = csv.DictReader(read_text(path).splitlines(), strict=True)
        log = [{key: float(value) for key, value in line.items()} for line in reader]
        known = (LOG_COLUMNS, LOG_COLUMNS[:-1], (*LOG_COLUMNS, HOLDOUT_COLUMN))  # logs of old end before the last
        if not log or tuple(log[0]) not in known or any(line.keys() != log[0].keys() for line in log):
            raise ValueError("it has other columns, or no line")
        return log
    except (ValueError, TypeError, csv.Error) as error:
        raise TransferError(f"{path} is damaged ({error}); remove its folder and train the network again") from None


def line_of(log: list[Line], row: dict[str, Any]) -> Line:
    """The measurement that the row is of: with patience the best, else the last."""
    return next((line for line in log if HOLDOUT_COLUMN in line and line["step"] == row["step"]), log[-1])


def _log_problems(log: list[Line], row: dict[str, Any], network: Network, recipe: Any, steps: int) -> Iterator[str]:
    """What in the log does not fit the row, or could not have come of the recipe."""
    last, patience, diverged = line_of(log, row), recipe.training.patience, row["status"].startswith("diverged")
    resolved = resolve(network, recipe.network.depth)
    ended = ends(log, patience) if patience and HOLDOUT_COLUMN in last else []
    for key in ("top1", "top5", "loss", "train_loss", "step", *(("balanced_top1",) if "balanced_top1" in last else ())):
        if row.get(key) != (last[key] if math.isfinite(last[key]) else None):
            yield f"its row has {key} {row[key]}, the last line of its log {last[key]}"
    if patience and not diverged:
        if HOLDOUT_COLUMN not in last or last["step"] != best(log)["step"]:
            yield f"its row has the weights of step {row['step']}, by its log another was best"
        over = [*ended[resolved.patiences - 1 :], steps][0]
        if not row.get("stopped_at") == log[-1]["step"] == over:
            yield f"its row says that it ended at step {row.get('stopped_at')}, its log does not"
        if network.rule.patient and row.get("phase_ends") != (found := " ".join(map(str, ended))):
            yield f"its row says that phases ended at steps {row.get('phase_ends')}, its log {found}"
    learned = resolved.ended(ended).layer_steps(int(log[-1]["step"]), steps)
    if row.get("layer_steps", learned) != learned:  # rows of old have none
        yield f"its row has layer_steps {row['layer_steps']}, its log gives {learned}"
    if row["top1_best10"] != best10(log):
        yield f"its row has top1_best10 {row['top1_best10']}, its log gives {best10(log)}"
    at = sorted(recipe.evaluation.at(steps))
    seen = [int(line["step"]) for line in log]
    if seen != at[: len(seen)] or (not diverged and not patience and len(seen) != len(at)):
        yield f"its log has the steps {seen}, the recipe {at}"
    rate = recipe.training.schedule.bind(steps)
    if wrong := [line["step"] for line in log if line["learning_rate"] != rate(max(0, int(line["step"]) - 1))]:
        yield f"its log has another learning rate than the recipe at step {wrong[0]:.0f}"
    end = log[-1]
    if diverged != (not math.isfinite(end["loss"]) or (len(log) > 1 and not math.isfinite(end["train_loss"]))):
        yield f"its row says {row['status']}, the last line of its log does not"


def _status(bench: Again, network: Network, row: dict[str, Any], report: Report) -> None:
    """The row's status is what its log says, beside the chance that the target's pictures give a guess."""
    if row["status"].startswith("diverged"):
        return
    parts = (bench.learned(network), of_classes(bench.pixels(network.target, "val"), bench.halves.split, network))
    train, val = (pixels.labels.bincount().double().tolist() for pixels in parts)
    if "chance" not in row:  # rows of old were judged as if classes were of one size
        train, val = evenly(train, val)
    who = f"{network.split} {network.name}"
    try:
        last = line_of(read_log(bench.study.folder(network) / "log.csv"), row)
    except TransferError:
        return  # told already
    now = status(last, None, gives(network), train, val, bench.recipe.judged)
    report.check("logs", row["status"] == now, f"{who}: its row says {row['status']}, its log {now}")
    chance = row.get("chance", guess(val))
    report.check("rows against their split", chance == guess(val), f"{who}: its row has another chance")
    of_old = {"train_pictures": sum(train)} | row  # rows of old do not say
    wrong = (of_old["train_pictures"], row["val_pictures"]) != (sum(train), sum(val))
    report.check("rows against their split", not wrong, f"{who}: its row has other numbers of pictures")


def evenly(*parts: list[float]) -> tuple[list[float], ...]:
    """As many pictures, but each class with its equal share."""
    return tuple([sum(part) / len(part)] * len(part) for part in parts)


def _statistics(bench: Again, network: Network, row: dict[str, Any], report: Report) -> None:
    """Frozen random BatchNorm has the statistics that the pictures give it."""
    resolved = resolve(network, bench.recipe.network.depth)
    module = blueprint(bench.recipe, len(classes_of(bench.halves.split, network)))
    random = [layer for layer in resolved.frozen if resolved.origins[layer - 1] == RANDOM]
    buffers = {name for name, _ in module.named_buffers()}.intersection(names_of(module, random))
    if not buffers:
        return
    exact, weights = same_machine(row, bench.device), load_weights(bench.study, network)
    known = bench.random(network).state
    wrong = [name for name in sorted(buffers) if not _alike(weights[name], known[name], exact)]
    problem = f"its random BatchNorm has other statistics than its pictures give: {', '.join(wrong)}"
    what = "random statistics" + " (other machine)" * (not exact)
    report.check(what, not wrong, f"{network.split} {network.name}: {problem}")


def _alike(found: Tensor, wanted: Tensor, exact: bool) -> bool:
    """To the bit, or within the tolerance of losses."""
    if exact or not wanted.is_floating_point():
        return torch.equal(found, wanted)
    return float((found - wanted).norm()) <= LOSS * max(float(wanted.norm()), 1e-3)


def _mean(bench: Again, half: str, report: Report) -> None:
    """The mean image that is kept is that of the pictures."""
    if (kept := bench.kept_mean(half)) is not None:
        mean = bench.pixels(half, "train").mean_image()
        problem = f"the mean image of {bench.halves.name} {half} is not that of its pictures; remove it: mean-{half}.safetensors"
        report.check("mean images", torch.equal(kept, mean), problem)


def _measure(bench: Again, group: Sequence[Network], rows: dict[Network, dict[str, Any]], report: Report) -> None:
    """Measure networks again; each must have its row's accuracy and loss."""
    bank = bench.bank(group)
    bank.evaluate()
    fixed, held = bank.fixed_losses(), bank.of_part(bank.holdout)
    measured = [
        (
            m.network,
            {
                **{key: math.nan if value is None else value for key, value in held_out(held.get(m.network.name)).items()},
                **m.log[-1],
                "fixed_loss": fixed.get(m.network.name, math.nan),
            },
        )
        for m in bank.members
    ]
    bank.close()
    for network, line in measured:
        row = rows[network]
        exact = same_machine(row, bench.device)
        for key in (  # of old there are three
            "top1",
            "top5",
            "loss",
            *(key for key in ("balanced_top1", "fixed_loss", "holdout_top1", "holdout_loss") if key in row),
        ):
            found = line[key] if math.isfinite(line[key]) else None
            report.check(
                "measurements" if exact else "measurements (other machine)",
                row[key] == found if exact else near(key, row[key], found, row["val_pictures"]),
                f"{network.split} {network.name}: its row has {key} {row[key]}, measured again it has {found}",
            )


def same_machine(row: dict[str, Any], device: torch.device) -> bool:
    """Whether the numbers must be those of the row to the bit: the same processor, however many, and the same torch.

    GPUs are held to the tolerance, since a bank of other networks may choose other kernels there.
    """
    if device.type != "cpu" or row.get("torch") != torch.__version__:
        return False
    return str(row.get("device")).rpartition(", ")[0] == device_name(device).rpartition(", ")[0]


def near(key: str, wanted: float | None, found: float | None, pictures: int) -> bool:
    """Within a point or two pictures for accuracies, within 2 per cent for losses."""
    if wanted is None or found is None:
        return wanted is found
    return abs(wanted - found) <= (LOSS * max(wanted, 1e-3) if key.endswith("loss") else max(POINTS, PICTURES / pictures))
