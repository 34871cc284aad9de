"""The networks of a sweep (n × BnB, BnB+, AnB, AnB+), trained by `transfer` and one after another.

python -m benchmarks.sweep --pictures /data/tiny-imagenet-200 --recipe tiny-imagenet-cpu --steps 150
python -m benchmarks.sweep --pictures /data/tiny-imagenet-200 --set network=torchvision/resnet18 --set layers={spread: 4}
"""

import gc
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import torch

from benchmarks import baseline, samples
from benchmarks.measure import Flags, Row, options, record, show
from transfercli.networks.catalogue import settled
from transfercli.pictures import stream
from transfercli.plan.networks import Network, bases
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.devices import pick_device
from transfercli.training.reporter import Reporter
from transfercli.training.train import train

BASE_STEPS = 2  # the bases only have to be there: no time depends on what they learned
WHOLE, ALONE = "from call to return", "without start, evaluation and saving"
FILE_STEPS = 8  # an epoch's steps where no picture is kept in memory, so that more of them would change nothing


class Marks:
    """When the product's steps were done."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def advance(self, count: int) -> None:
        self.marks.append((count, time.perf_counter()))

    def seconds(self, networks: int) -> float:
        """Seconds for one step of all networks, without what comes before a bank's first step ends and after its last."""
        pairs = [(b[0], b[1] - a[1]) for a, b in zip(self.marks, self.marks[1:], strict=False) if a[0] and b[0]]
        return networks * sum(seconds for _, seconds in pairs) / sum(count for count, _ in pairs)


@dataclass(frozen=True)
class Sweep:
    """Seconds for one step of all networks: from the call of `train` to its return, and of the steps alone."""

    whole: float
    alone: float
    note: str


def product(study: Study, recipe: Recipe, networks: list[Network], device: torch.device, size: int | None) -> Sweep:
    """What `transfer sweep` does, in a study whose bases are there."""
    silent = Reporter(lambda total: None, lambda count: None, lambda text: None, lambda count: None)
    study.write_recipe(samples.with_steps(recipe, BASE_STEPS))
    train(study, bases([samples.SPLIT], [samples.SEED]), device, size, silent)
    study.write_recipe(recipe)
    marks = Marks()
    began = time.perf_counter()
    rows = train(
        study, networks, device, size, Reporter(lambda total: None, marks.advance, lambda text: None, lambda count: None)
    )
    whole = time.perf_counter() - began
    steps = recipe.training.steps
    if steps is None or len(rows) != len(networks) or any(row["step"] != steps for row in rows):
        raise click.ClickException("a network was not trained to its last step; lower training.schedule.rate")
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    banks = len({row["bank"] for row in rows})
    note = f"{steps} steps in {rows[0]['precision']}, {banks} bank{'s' * (banks > 1)}"
    return Sweep(whole / steps, marks.seconds(len(networks)), note)


@click.command(help=__doc__)
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), help="A folder with train/ and val/.")
@click.option("--repeat-samples", type=click.Path(exists=True, path_type=Path), help="Instead: a folder per class of few JPEGs.")
@click.option("--steps", default=100, show_default=True, help="Of the sweep.")
@click.option("--plain-steps", default=5, show_default=True, help="Of each network one after another; 0 leaves these out.")
@click.option("--tricks-steps", default=5, show_default=True, help="The same with the usual tricks.")
@click.option("--compile", "try_compile", is_flag=True, help="Try torch.compile among the tricks.")
@click.option("--from-files", is_flag=True, help="Keep no pictures in memory, as where a half does not fit.")
@click.option("--packed", is_flag=True, help="Sweep once more, from the packed store; the others read the files.")
@click.option("--bank-size", type=int)
@click.option("--targets", nargs=2, default=("", ""), help="What plain / sweep and tricks / sweep must reach.")
@options("tiny-imagenet-cpu")
def main(
    pictures: Path | None,
    repeat_samples: Path | None,
    steps: int,
    plain_steps: int,
    tricks_steps: int,
    try_compile: bool,
    from_files: bool,
    packed: bool,
    bank_size: int | None,
    targets: tuple[str, str],
    flags: Flags,
) -> None:
    if (pictures is None) == (repeat_samples is None):
        raise click.UsageError("give either --pictures or --repeat-samples")
    device = pick_device(flags.device)
    recipe = samples.with_steps(settled(recipes.find(flags.recipe, flags.overrides)), steps)
    if from_files:
        stream.MEMORY_SHARE = 0.0
    networks, label = samples.sweep_networks(recipe.swept), flags.label or f"{device.type}, {flags.recipe}"
    unit = f"s/step of {len(networks)}"
    lines: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as temporary:
        root, folder = Path(temporary), pictures
        if repeat_samples is not None:
            classes, count = samples.per_class(repeat_samples, recipe, min(steps, FILE_STEPS) if from_files else steps)
            folder = samples.repeated(repeat_samples, root / "pictures", classes, count, 2)
        assert folder is not None
        study, halves = samples.new_study(root / "study", recipe, folder)
        part = samples.training_part(study, halves, recipe)
        said = f"{len(part.paths)} training pictures{', none kept in memory' if from_files else ''}"
        sweeps = {"sweep": study}
        if packed and samples.can_pack():
            samples.pack(folder, root / "packed", recipe, "raw")
            sweeps["sweep of the packed store"] = samples.new_study(root / "of-packed", recipe, root / "packed")[0]
        done: dict[str, Sweep] = {}
        for name, made in sweeps.items():
            done[name] = ours = product(made, recipe, networks, device, bank_size)
            note, first = f"{WHOLE}, {ours.note}, {said}", done["sweep"].whole
            rows = [Row(f"{label}: {name}", ours.whole, unit, "", note)]
            rows.append(Row(f"{label}: {name}, steps alone", ours.alone, unit, "", f"{ALONE}, {ours.note}, {said}"))
            lines.append((name, ours.whole, ours.whole / first, "", note))
            lines.append((f"{name}, steps alone", ours.alone, ours.alone / first, "", ALONE))
            record(rows, device, flags.dry)  # at once, so that a run cut short leaves what it has

        for what, count, target in (("plain loop", plain_steps, targets[0]), ("loop with tricks", tricks_steps, targets[1])):
            if not count:
                continue
            other = baseline.measure(recipe, part, networks, device, count, what == "loop with tricks", try_compile)
            lines.append((what, other.seconds, other.seconds / first, target, other.note))
            rows = [Row(f"{label}: {what}", other.seconds, unit, "", other.note)]
            for name, ours in done.items():
                rows.append(Row(f"{label}: {what} / {name}", other.seconds / ours.whole, "×", target, WHOLE))
                rows.append(Row(f"{label}: {what} / {name}, steps alone", other.seconds / ours.alone, "×", target, ALONE))
            record(rows, device, flags.dry)
    show(f"{label}: one step of {len(networks)} networks", ("", "seconds", "× sweep", "target", "measured"), lines)


if __name__ == "__main__":
    main()
