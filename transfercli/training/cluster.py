"""Banks on several devices, here or on many machines: only which worker does what.

The study's folder stays the only state: workers write attempts (`study/attempts.py`), and this process, which holds the study,
takes what they finished. The crew (`crew.py`) carries orders, and that a worker has ended or died.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transfercli.plan.jobs import Job
from transfercli.plan.networks import Network, without_need
from transfercli.plan.schedule import next_job
from transfercli.recipe.schema import Recipe
from transfercli.study import attempts
from transfercli.study.attempts import LOST_SECONDS, Attempt
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.study.versions import DECISIVE
from transfercli.system.device_names import Remote
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, Wish, deferred
from transfercli.training import checkpoints, cost, worker
from transfercli.training.crew import Crew, connected, root
from transfercli.training.reporter import Reporter

TRIES = 3  # of a bank without a newer checkpoint
STOP_SECONDS = 60.0  # for all to finish their step and save
LATE_STOP_SECONDS = 5.0  # for what they finished to be seen, before it is left to the next command's trainings
STALL_SECONDS = 10.0  # between two passes of the loop, which takes one


@dataclass
class Running:
    """A bank at a worker."""

    job: Job
    attempt: Attempt
    ref: Any
    host: str = "its worker"
    count: int = -1  # of the last sign of life
    pid: int | None = None
    heard: float = 0.0  # when that was
    told: int = 0  # network-steps, to the reporter


def train_elsewhere(
    study: Study,
    todo: Sequence[Network],
    recipe: Recipe,
    halves: Mapping[str, Halves],
    remote: Remote,
    begin: Callable[[dict[str, str], str], str],
    bank_size: int | None,
    reporter: Reporter,
) -> None:
    """Train these networks to their rows, each as soon as the base that it copies is there.

    `begin` is told the versions and the devices, and returns the changes of version that were accepted. What needs a base that
    has learned nothing is left out. Raises TransferError where banks failed TRIES times (the others are done then), and Stopped
    where a signal asked to stop; the same call then goes on from the checkpoints.
    """
    with connected(remote) as ray, deferred() as wish:
        crew = Crew(ray, remote)
        versions = crew.versions(study, wish)
        accepted = begin(versions, f"{crew.size} worker{'s' * (crew.size > 1)} of {crew.about}")
        of = Work(study, recipe, halves, crew, versions, accepted, bank_size, reporter)
        of.compute_means(todo, wish)
        of.train(dict.fromkeys(todo), wish)


@dataclass
class Work:
    """Networks in training at several workers."""

    study: Study
    recipe: Recipe
    halves: Mapping[str, Halves]
    crew: Crew
    versions: Mapping[str, str]
    accepted: str
    bank_size: int | None
    reporter: Reporter
    running: list[Running] = field(default_factory=list)
    broken: dict[Network, str] = field(default_factory=dict)  # and why
    tries: Counter[Network] = field(default_factory=Counter)  # since its furthest checkpoint
    reached: dict[Network, int] = field(default_factory=dict)  # its step
    statuses: dict[Network, str] = field(default_factory=dict)  # of networks with a row
    works: dict[tuple[Network, ...], float] = field(default_factory=dict)  # of banks
    left_out: int = 0

    def compute_means(self, networks: Iterable[Network], wish: Wish) -> None:
        """What is subtracted, once for each half of each split. Raises TransferError."""
        lacking = [
            (split, task) for split in {one.split: None for one in networks} for task in worker.lacking_means(self.study, split)
        ]
        for tries in range(1, TRIES + 1):
            calls = {self.crew.send(worker.mean, root(self.study), *of, self.crew.device, self.crew.each): of for of in lacking}
            said = {calls[ref]: self.crew.said(ref) for ref in self.crew.ended([*calls], wish)}
            lacking = [of for of in lacking if said.get(of) != worker.DONE]
            if wish.number is not None or not lacking:
                return
            if tries == TRIES:
                raise TransferError(f"the means of {lacking[0][0]} cannot be computed: {said[lacking[0]]}")

    def train(self, waiting: dict[Network, None], wish: Wish) -> None:
        heard = time.monotonic()
        while (waiting or self.running) and wish.number is None:
            if time.monotonic() - heard > STALL_SECONDS:  # of this process or its disk, during which nobody could be heard
                for one in self.running:
                    one.heard = time.monotonic()
            heard = time.monotonic()
            for refused in self.crew.look(self.study, self.versions):
                self.reporter.say(refused)
            if self.crew.undecided and not self.running:  # what was sent now would wait for another machine for ever
                time.sleep(1.0)
                continue
            self._leave_out(waiting)
            while len(self.running) < self.crew.size and (job := self._next(waiting)):
                self.running.append(self._begin(job))
                for network in job.networks:
                    del waiting[network]
            if not self.running:
                break  # what is left needs what is broken
            self.reporter.working(len(self.running), self.crew.size)
            ended, _ = self.crew.wait([one.ref for one in self.running])
            for one in list(self.running):
                if one.ref in ended:
                    self._end(one, self.crew.said(one.ref), waiting)
                elif self._hear(one) > LOST_SECONDS:
                    self.crew.end(one.ref, one.host, one.pid)
                    self._end(one, f"no sign of life from {one.host} for {LOST_SECONDS:.0f} s", waiting)
        if wish.number is not None:
            late = self._stop()
            slow = f", but {late} that did not end in time and go on from their last" * (late > 0)
            raise Stopped(wish.number, f"the banks in training have saved a checkpoint each{slow}")
        attempts.settle(self.study)
        if self.broken:
            names = ", ".join(f"{network.split} {network.name}" for network in self.broken)
            why = next(iter(self.broken.values()))
            left_out = f"; {self.left_out} that need a base which is not there are left out" * (self.left_out > 0)
            raise TransferError(f"{names} failed {TRIES} times ({why}){left_out}; the others are done")

    def _status(self, network: Network) -> str | None:
        if network not in self.statuses and (row := self.study.row(network)):
            self.statuses[network] = row["status"]
        return self.statuses.get(network)

    def _leave_out(self, waiting: dict[Network, None]) -> None:
        """Those that need a base which has learned nothing, or is broken, are not trained."""
        needed = {one for network in waiting for one in (network.donor, network.control) if one}
        bad = [one for one in needed if one in self.broken or self._status(one) not in (None, "done")]
        for network in waiting.keys() - without_need(waiting, bad) if bad else ():
            if not network.is_base:
                del waiting[network]
                self.left_out += 1
                needs = [one for one in (network.donor, network.control) if one]
                why = "could not be trained" if any(one in self.broken for one in needs) else "has nothing to transfer"
                self.reporter.say(f"{network.split}: {network.name} is left out: a base that it needs {why}")

    def _next(self, waiting: Collection[Network]) -> Job | None:
        """The bank that an idle worker begins."""
        done = {donor for network in waiting if (donor := network.donor) and self._status(donor)}
        return next_job(waiting, done, self.crew.size, lambda network: self.bank_size or len(waiting), self._work)

    def _work(self, bank: tuple[Network, ...]) -> float:
        """The multiply-adds of a picture, in all the steps of a bank."""
        if bank not in self.works:
            recipe, halves = self.recipe.of(bank[0].net), self.halves[bank[0].split]
            steps, classes = halves.steps_of(bank[0], recipe), len(halves.split.classes(bank[0].target))
            self.works[bank] = steps * cost.multiply_adds(bank, cost.Layers.of(recipe, classes), steps=steps)
        return self.works[bank]

    def _begin(self, job: Job) -> Running:
        attempt = attempts.begin(self.study)
        order = worker.Order(
            root(self.study),
            attempt.name,
            job.networks[0].net,
            worker.called(job.networks),
            self.crew.device,
            tuple((key, value) for key, value in self.versions.items() if key in DECISIVE),
            self.accepted,
            self.bank_size,
            self.crew.each,
            tuple((path.as_posix(), size) for path, size in attempts.needed(self.study, job.networks).items()),
        )
        return Running(job, attempt, self.crew.send(worker.work, order))

    def _hear(self, one: Running) -> float:
        """Listen for its sign of life, tell how far it is, and return for how many seconds there has been none."""
        beat = one.attempt.beat()
        if beat is not None and beat["count"] != one.count:
            one.count, one.host, one.pid, one.heard = beat["count"], beat["host"], beat["pid"], time.monotonic()
            done = int(beat.get("step", 0)) * len(beat.get("networks", ()))
            if done > one.told:
                (self.reporter.advance if one.told else self.reporter.held)(done - one.told)
                one.told = done
        return time.monotonic() - one.heard if one.count >= 0 else 0.0  # a worker may have to wait before it begins

    def _end(self, one: Running, said: str, waiting: dict[Network, None]) -> None:
        """A worker has ended: its networks go to their places, or wait to be trained again, or are given up."""
        self.running.remove(one)
        for line in one.attempt.said():
            self.reporter.say(line)
        try:
            taken = one.attempt.take(finished=said == worker.DONE)
        except TransferError as error:
            taken, said = [], str(error)
        reached = one.attempt.salvage()
        one.attempt.sweep()
        steps = self.halves[one.job.networks[0].split].steps_of(one.job.networks[0], self.recipe)
        further = steps * len(taken) - one.told
        (self.reporter.held if further < 0 else self.reporter.advance)(further)
        for network in taken:
            self.reporter.measured(self.study, network, self.study.log(network))
        if taken:
            self.study.write_table()
            checkpoints.clear_done(self.study.checkpoint_folder(taken[0]))
        if not (left := [network for network in one.job.networks if self._status(network) is None]):
            return
        self.reporter.say(f"{left[0].split}: {', '.join(network.name for network in left)} did not end: {said}")
        for network in left:
            if (step := reached.get(network, 0)) > self.reached.get(network, 0):
                self.tries[network], self.reached[network] = 0, step
            self.tries[network] += said != worker.STOPPED
            if self.tries[network] < TRIES:
                waiting[network] = None
            else:
                self.broken[network] = said

    def _stop(self) -> int:
        """Let all finish their step and save, and keep what they saved or finished. Returns how many did not in time."""
        for one in self.running:
            one.attempt.stop()
            if one.count < 0:
                self.crew.cancel(one.ref)
        refs, until = [one.ref for one in self.running], time.monotonic() + STOP_SECONDS
        while refs and time.monotonic() < until:
            _, refs = self.crew.wait(refs, all_of=True)  # after which a second signal is heard
        attempts.settle(self.study, seconds=LATE_STOP_SECONDS)
        return len(refs)
