"""The schedule of a study at 1 to 1000 devices, on paper: makes the figure and prints the tables of docs/scale.md.

python -m benchmarks.scale                  # writes docs/scale.svg
python -m benchmarks.scale imagenet-fast --out FOLDER --fits 16

Nothing is measured: a bank takes as long as it has multiply-adds, and the unit is the time in which one device trains a base.
What is read is in multiples of what a base reads while it trains alone.
"""

from pathlib import Path

import click
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import transfercli
from transfercli.plan.schedule import Timeline, simulate
from transfercli.plan.treatments import TREATMENTS
from transfercli.report.appearance import look
from transfercli.report.figures.style import GREY, WIDTH, style
from transfercli.report.figures.writing import rendered

COUNTS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 100, 128, 160, 200, 250, 300, 350, 400, 500, 700, 1000)
TOLD = (1, 2, 4, 8, 16, 32, 64, 100, 200, 350, 1000)  # in the table
DRAWN = 8, 100  # whose devices are drawn


@click.command(help=__doc__)
@click.argument("recipe", default="yosinski2014")
@click.option("--out", default=Path("docs"), show_default=True, type=click.Path(path_type=Path))
@click.option("--fits", default=100, show_default=True, type=click.IntRange(1), help="How many networks a device holds at once.")
def main(recipe: str, out: Path, fits: int) -> None:
    found = transfercli.estimate(recipe, device="cpu", bank_size=fits, measured=False)
    networks = [one for bank in found.banks for one in bank]
    unit = found.multiply_adds_of([next(one for one in networks if one.is_base)])
    lines = {
        count: simulate(networks, count, lambda one: fits, lambda bank: found.multiply_adds_of(bank) / unit) for count in COUNTS
    }
    click.echo("| devices | time | times as fast | efficiency | at work | jobs | read, in the mean | at the most |")
    click.echo("|" + 8 * "---:|")
    for count in TOLD:
        line, speed = lines[count], lines[1].end / lines[count].end
        mean = sum(found.steps_of(run.job.networks[0]) for run in line.runs) / found.steps / line.end
        most = line.most(lambda run: found.steps_of(run.job.networks[0]) / found.steps / (run.end - run.start))
        cells = f"{speed:.1f} | {speed / count:.0%} | {line.busy:.0%} | {len(line.runs)} | {mean:.1f} | {most:.1f}"
        click.echo(f"| {count} | {line.end:.2f} | {cells} |")
    (out / "scale.svg").write_bytes(rendered(drawn(lines), "svg"))


def drawn(lines: dict[int, Timeline]) -> Figure:
    """Above, who does what on some devices; below, efficiency and time by how many there are."""
    counts, one = list(lines), lines[1]
    with style():
        figure = Figure(figsize=(WIDTH, 8.4), layout="constrained")
        above, below = (figure.add_gridspec(2, 2, height_ratios=(1.5, 1))[row, :].subgridspec(1, 2) for row in (0, 1))
        for count, place in zip(DRAWN, above, strict=True):
            devices(figure.add_subplot(place), lines[count])
        shares, times = (figure.add_subplot(place) for place in below)
        efficiency = [one.end / count / lines[count].end for count in counts]
        shares.plot(counts, [lines[count].busy for count in counts], "s--", color=GREY, ms=3, lw=1, label="share of time at work")
        shares.plot(counts, efficiency, "o-", color="#0072B2", ms=3.5, label="efficiency")
        shares.yaxis.set_major_formatter(PercentFormatter(1))
        shares.set(xscale="log", ylim=(0, 1.03), xlabel="devices", title="Efficiency")
        times.plot(counts, [one.end / count for count in counts], ":", color=GREY, label="one device's, divided")
        times.plot(counts, [lines[count].end for count in counts], "o-", color="#0072B2", ms=3.5, label="as scheduled")
        times.axhline(one.floor, color="#D55E00", ls="--", lw=1, label="a base, then a network that needs it")
        times.set(xscale="log", yscale="log", ylim=(1, None), xlabel="devices", title="Time")
        times.yaxis.set_major_formatter("{x:g}")
        times.set_ylabel("in bases, one after another")
        for ax in (shares, times):
            ax.xaxis.set_major_formatter("{x:g}")
            ax.legend()
    return figure


def devices(ax: Axes, line: Timeline) -> None:
    """A row for each device, in which each network has a part of its bank's time, in its treatment's colour."""
    for run in line.runs:
        part = (run.end - run.start) / len(run.job.networks)
        for place, network in enumerate(run.job.networks):
            ax.barh(run.device, part, 0.9, run.start + place * part, color=look(network.treatment).color)
        ax.plot([run.end] * 2, [run.device - 0.45, run.device + 0.45], color="white", lw=0.6)
    for treatment in sorted({network.treatment for run in line.runs for network in run.job.networks}, key=list(TREATMENTS).index):
        ax.barh(0, 0, color=look(treatment).color, label=treatment)
    ax.set(xlabel="time", ylabel="device", title=f"{line.devices} devices", ylim=(line.devices - 0.5, -0.5), xlim=(0, None))
    ax.grid(False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, columnspacing=1, handlelength=1)


if __name__ == "__main__":
    main()
