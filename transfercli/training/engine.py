"""The engine: jobs carried out in this process, one after another. The study folder is the only state.

A job is plain data (`plan/jobs.py`); a bank of it is trained from its checkpoint, where there is one, measured and saved on the
way, and ends as rows.
"""

import time
from collections.abc import Iterable, Sequence

import torch

from transfercli.networks.initialise import near_identities
from transfercli.networks.start import random_weights
from transfercli.plan.jobs import Job, jobs
from transfercli.plan.networks import RANDOM, Network
from transfercli.system.devices import device_name
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, Wish, deferred
from transfercli.training import checkpoints
from transfercli.training.amounts import classes_of, refuse_more_than_there_is
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench
from transfercli.training.checkpoints import Saved
from transfercli.training.finish import provenance, write_member
from transfercli.training.reporter import Reporter
from transfercli.training.snapshots import keep

TELL_SECONDS = 5.0  # between two words to others of how far a bank is


def train_together(networks: Sequence[Network], bench: Bench, bank_size: int | None, reporter: Reporter) -> None:
    """Train networks of one recipe, split and seed, in as many banks as needed, each from its checkpoint where there is one."""
    split, folds = bench.halves.split, bench.recipe.pictures.folds
    refuse_more_than_there_is(networks, split, bench.folder.train, folds)
    _tell_of_near_identities(networks, bench, reporter)
    fits = bank_size or bench.fits(dict.fromkeys(network.target for network in networks))
    kept, names = bench.study.checkpoint_folder(networks[0]), [network.name for network in networks]
    for found, saved in checkpoints.latest(kept, names, bench.same, reporter.say):
        carry_out(jobs([network for network in networks if network.name in found], fits), saved, bench, reporter)


def _tell_of_near_identities(networks: Sequence[Network], bench: Bench, reporter: Reporter) -> None:
    """Say so where random layers, as their library draws them, are blocks that do next to nothing."""
    spec, one = bench.recipe.network, next((network for network in networks if network.source == RANDOM), None)
    if one is None or not spec.library or spec.random != "own":
        return
    classes = len(classes_of(bench.halves.split, one))
    if near := near_identities(random_weights(bench.recipe, classes, one.seed, one.split)):
        mended = f"random: preserving of {one.net}" if one.net else "--set network.random=preserving"
        reporter.say(
            f"{one.treatment}: {spec.name}, as its library draws it, has {len(near)} scales near zero ({near[0]}), so that "
            f"random blocks do next to nothing; in a new study {mended} draws them at full scale"
        )


def carry_out(todo: Iterable[Job], saved: Saved | None, bench: Bench, reporter: Reporter) -> None:
    """Train the networks of these jobs to their rows. A bank that does not fit in memory goes on as two.

    Raises TransferError, and Stopped where a signal asked to stop; the same jobs then go on from their checkpoints.
    """
    waiting = list(todo)
    while waiting:
        job = waiting.pop(0)
        try:
            _train(job, saved, bench, reporter)
            continue
        except torch.OutOfMemoryError:
            pass  # the error holds the bank: its memory is free when the error is gone
        waiting[:0] = _smaller(job, bench, reporter)


def _smaller(job: Job, bench: Bench, reporter: Reporter) -> list[Job]:
    """A job that does not fit in the device's memory as two. Raises TransferError for a single network."""
    if len(job.networks) == 1:
        raise TransferError(
            f"{job.networks[0].name} alone does not fit in the memory of {device_name(bench.device)}; "
            "use a device with more (--device), or a smaller training.batch in a new study (--study DIR)"
        )
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
    parts = job.parted()
    count, size = len(job.networks), len(parts[0].networks)
    reporter.say(f"{bench.halves.name}: {count} networks do not fit in memory; going on with {size} (see --bank-size)")
    return parts


def _train(job: Job, saved: Saved | None, bench: Bench, reporter: Reporter) -> None:
    """Train one bank, from the checkpoint where there is one."""
    bank, name, count = bench.bank(job.networks), bench.halves.name, len(job.networks)
    if saved is not None:
        try:
            bank.restore(saved.tensors, saved.about)
        except ValueError as error:
            bank.close()
            kept = bench.study.checkpoint_folder(job.networks[0])
            raise TransferError(f"{name}: {error} than is there now; remove {kept} to begin its networks anew") from None
        reporter.say(f"{name}: {count} networks go on at step {bank.step_number} of {bank.steps}")
    try:
        _run(bank, bench, reporter)
    except torch.OutOfMemoryError:
        reporter.held(-count * bank.step_number)  # some networks have taken the step and some not: all begin anew
        raise
    finally:
        bank.close()


def _run(bank: Bank, bench: Bench, reporter: Reporter) -> None:
    """Train a bank to its last step, measuring and saving on the way, and write its networks' rows."""
    study, halves = bench.made, bench.halves
    first, began = bank.step_number, time.monotonic()
    reporter.held(len(bank.members) * first)
    with deferred() as wish:
        _go(bank, bench, reporter, wish)
        bank.take_best()
        seconds, steps = time.monotonic() - began, bank.step_number - first
        made_by = provenance(bank, bench.recipe, halves, seconds, steps, bench.accepted)
        fixed = bank.fixed_losses()
        counts = bank.last_counts() if bank.holdout else {}
        rows = []
        for member in bank.members:
            name = member.network.name
            rows.append(write_member(study, halves, bank, member, fixed.get(name), counts.get(name, {}), made_by))
        if failed := [f"{row['network']} {row['status']}" for row in rows if row["status"] != "done"]:
            reporter.say(f"{halves.name}: {', '.join(failed)}")
        if study is bench.study:
            study.write_table()
    if wish.number is not None:
        raise Stopped(wish.number, "the rows of all networks that were in training are written")


def _go(bank: Bank, bench: Bench, reporter: Reporter, wish: Wish) -> None:
    """The steps of a bank, with measurements and checkpoints; after the step where a signal asked to stop, Stopped."""
    training, measured_at = bench.recipe.training, bench.recipe.evaluation.at(bank.steps)
    began, first = time.monotonic(), bank.step_number
    saved = told = now = began

    def save() -> None:
        tensors, about = bank.state()
        checkpoints.save(bench.made.checkpoint_folder(bank.members[0].network), tensors, {**about, **bench.same})

    def tell() -> None:
        of = bank.members[0].network
        rate = (bank.step_number - first) / max(now - began, 1e-9)
        names = [member.network.name for member in bank.members]
        at = {"step": bank.step_number, "steps": bank.steps, "steps_per_second": round(rate, 3)}
        reporter.tell({"split": of.split, "seed": of.seed, "networks": names, **at})

    tell()
    while True:
        try:
            if bank.step_number in measured_at and bank.measured_at != bank.step_number:
                bank.evaluate()
                for member in bank.members:
                    reporter.measured(bench.made, member.network, member.log)
            keep(bench.made, bank, training)
            if bank.step_number == bank.steps or not bank.live:
                return
            bank.step()
        except TransferError:  # of a picture: batches come before any network's step, so the last step is whole
            save()
            raise
        reporter.advance(len(bank.members))
        if wish.number is not None:
            save()
            raise Stopped(wish.number, f"step {bank.step_number} of {bank.steps} is done and a checkpoint saved")
        now = time.monotonic()
        if now - told > TELL_SECONDS:
            tell()
            told = now
        late = now - saved > 60 * training.checkpoint_minutes
        if late or (training.checkpoint_steps and bank.step_number % training.checkpoint_steps == 0):
            save()
            saved = time.monotonic()
