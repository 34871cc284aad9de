"""A plan carried out: banks are trained and measured, checkpoints kept, rows written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch

from transfercli.pictures.stream import Pixels
from transfercli.plan.networks import Network, needed_bases, several, without_need
from transfercli.plan.resolve import resolve
from transfercli.recipe.schema import Recipe
from transfercli.study import attempts
from transfercli.study.folder import Study
from transfercli.study.rows import given_digest, mixture
from transfercli.study.splits import Halves
from transfercli.study.versions import here, settle
from transfercli.system.device_names import Remote
from transfercli.system.devices import device_name, pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.training import checkpoints, cluster
from transfercli.training.bench import Bench, how_to_train
from transfercli.training.engine import train_together
from transfercli.training.reporter import Reporter


def train(
    study: Study,
    networks: Sequence[Network],
    device: torch.device,
    bank_size: int | None,
    reporter: Reporter,
    accept_change: bool = False,
    loaded: dict[tuple[str, str], Pixels] | None = None,
    remote: Remote | None = None,
) -> list[dict[str, Any]]:
    """Train and measure the networks that have no row yet; return the rows of all.

    Resumes from the study's checkpoints. `bank_size` is how many train side by side; None: as many as fit in memory.
    `accept_change`: go on with other versions than those that the study was begun with. `loaded`: pictures of the one split of
    these networks, which calls one after another share. `remote`: on several devices, by Ray.
    Raises TransferError, and leaves a study that the same call goes on with.
    """
    recipe = study.recipe()
    precision = pick_precision(recipe.training.precision, device)
    with study.held(networks) as tell, reproducible(device):
        attempts.settle(study)
        reporter = replace(reporter, tell=tell)
        rows = {network: study.row(network) for network in networks}
        refuse_other_treatments(study, recipe, rows)
        todo = [network for network, row in rows.items() if row is None]
        halves = {split: study.halves(split) for split in dict.fromkeys(network.split for network in todo)}
        steps = {network: halves[network.split].steps_of(network, recipe) for network in todo}
        for one, length in product(recipe.each().values(), {*steps.values()}):
            one.training.schedule.bind(length)
            one.check_phases(length)
        reporter.total(sum(steps.values()))
        begin = partial(_begin, study, recipe, len(networks), len(todo), accept_change, reporter)
        if remote is None:
            libraries = {one.network.library for one in recipe.each().values()}
            accepted = begin(here(precision, libraries), device_name(device))
            _train_here(study, todo, recipe, halves, device, precision, accepted, bank_size, loaded, reporter)
        elif todo:
            cluster.train_elsewhere(study, todo, recipe, halves, remote, begin, bank_size, reporter)
        for folder in {study.checkpoint_folder(network) for network in networks}:  # of done ones too: killed before this line
            checkpoints.clear_done(folder)
        study.write_table()
    refuse_mixtures(study)
    return [row for network in networks if (row := study.row(network)) is not None]


def _begin(
    study: Study, recipe: Recipe, count: int, todo: int, accept: bool, reporter: Reporter, versions: dict[str, str], where: str
) -> str:
    """Say what is to be done, and by which versions; returns the changes of version that were ever accepted."""
    reporter.say(f"{todo} of {count} networks to train, on {where} in {versions['precision']}")
    return settle(study, versions, accept) if todo else ""


def _train_here(
    study: Study,
    todo: Sequence[Network],
    recipe: Recipe,
    halves: Mapping[str, Halves],
    device: torch.device,
    precision: torch.dtype,
    accepted: str,
    bank_size: int | None,
    loaded: dict[tuple[str, str], Pixels] | None,
    reporter: Reporter,
) -> None:
    """Train these networks in this process, one bank after another."""
    for split in halves:
        loaded = {} if loaded is None or len(halves) > 1 else loaded
        of_split = [network for network in todo if network.split == split]
        for net, seed in dict.fromkeys((network.net, network.seed) for network in of_split):
            bench = Bench(study, recipe.of(net), halves[split], device, precision, accepted, loaded)
            together = [network for network in of_split if (network.net, network.seed) == (net, seed)]
            train_together(together, bench, bank_size, reporter)


def check_bases(study: Study, networks: Sequence[Network], recipe: Recipe) -> dict[Network, str]:
    """Raise TransferError unless every base that the networks need is there, has learned, and is that of the rows there are.

    It must be of this recipe and split; the rows of networks that copied it say which it was. Where a recipe has several
    networks or amounts of data, bases that have learned nothing are returned, with the reason, as long as there are networks that
    need none of them.
    """
    failed: dict[Network, str] = {}
    in_parts = several(networks)
    for one in sorted(needed_bases(networks), key=lambda n: (n.split, n.seed, n.name)):
        row = study.row(one)
        if row is None:
            seed = f" of seed {one.seed}" * bool(one.seed)
            raise TransferError(f"{one.split} has no {one.name}{seed} yet; train it: {how_to_train(study, one, recipe)}")
        for what, wanted in (("recipe", recipe.of(one.net).digest()), ("split", study.halves(one.split).digest)):
            if row.get(f"{what}_digest") != wanted:
                raise TransferError(
                    f"{one.split} {one.name} was trained with another {what}; "
                    f"start a new study (--study NEW), or remove {study.folder(one)} and train it again: "
                    f"{how_to_train(study, one, recipe)}"
                )
        early = [network for network in networks if network.donor == one and "at" in dict(network.axes)]
        if lacking := [network for network in early if given_digest(row, network) is None]:
            raise TransferError(
                f"{one.split} {one.name} was trained without the snapshot that {lacking[0].name} copies; "
                f"remove {study.folder(one)} and train it again: {how_to_train(study, one, recipe)}"
            )
        if row["status"] != "done":
            needing = len(networks) - len(without_need(networks, [one]))
            failed[one] = (
                f"{one.split} {one.name} has nothing to transfer ({row['status']})"
                + f", and {needing} networks that need it are left out" * in_parts
                + "; start a new study (--study NEW) with another learning rate: --set training.schedule.rate=0.01; "
                f"or go on without that split: remove {study.root / one.split}"
            )
    if failed and not (in_parts and without_need(networks, failed)):
        raise TransferError(next(iter(failed.values())))
    refuse_mixtures(study)
    return failed


def refuse_other_treatments(study: Study, recipe: Recipe, rows: Mapping[Network, dict[str, Any] | None]) -> None:
    """Raise TransferError where a network that is there was treated otherwise than one of its name would be now."""
    digests = {net: one.digest() for net, one in recipe.each().items()}
    for network, row in rows.items():
        own = digests[network.net]
        if row is None or "network_digest" not in row or row["recipe_digest"] != own:  # rows of old do not say
            continue
        spec = recipe.of(network.net).network
        if row["network_digest"] != resolve(network, spec.depth).digest(own, row["split_digest"]):
            raise TransferError(
                f"{network.split} {network.name} was trained by another treatment {network.treatment} than there is now; "
                f"start a new study (--study NEW), or remove {study.folder(network)} and train it again"
            )


def refuse_mixtures(study: Study) -> None:
    """Raise TransferError where a network was copied from another base than the one that is there."""
    if mixed := mixture(study.rows()):
        raise TransferError(mixed)
