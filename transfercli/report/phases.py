"""A treatment drawn: its layers against the steps, and which of them learn when. An SVG is text, and the same everywhere."""

from pathlib import Path
from xml.sax.saxutils import escape

from transfercli.plan.networks import Network
from transfercli.plan.resolve import FRESH, RANDOM, resolve
from transfercli.plan.tasks import HALVES, WHOLE
from transfercli.plan.treatments import TREATMENTS, Treatment
from transfercli.system.files import write_text

DEPTH, N = 8, 5  # the network and the n that the charts of docs/treatments.md show
LEFT, TOP, WIDTH, ROW, FOOT = 76, 26, 360, 20, 36  # pixels
# What learns, by where the layer came from; what rests is pale. Okabe and Ito's.
COPIED, NEW, PALE, LINE = ("#D55E00", "#f3d9c4"), ("#0072B2", "#cfe3f1"), "#ffffff", "#555555"


def chart(treatment: Treatment, depth: int = DEPTH, n: int = N, steps: int = 1000) -> str:
    """An SVG: layers upwards from the first, `steps` to the right; full colour where a layer learns, pale where it rests.

    At the left whose layer it is, at the right its learning rate where that is not the schedule's, above a phase's. Phases that
    last until patience is over are drawn as of equal length.
    """
    target = WHOLE if treatment.origin == "pretrained" else HALVES[1]
    made = resolve(Network("", 0, treatment.name, n if treatment.swept else 0, target, rule=treatment), depth)
    began, cells, words = 0.0, list[str](), list[str]()
    for stage in made.stages:
        x, end = LEFT + WIDTH * began, stage.until + stage.after / steps
        for layer, origin in enumerate(made.origins, start=1):
            learns, rests = NEW if origin == FRESH else COPIED
            fill = learns if layer in stage.layers else rests
            place = f'x="{x:.1f}" y="{_y(layer, depth)}" width="{WIDTH * (end - began):.1f}" height="{ROW}"'
            cells.append(f'<rect {place} fill="{fill}" stroke="{PALE}"/>')
        if stage.rate != 1:
            words.append(_text(x + 3, TOP - 6, f"rate × {stage.rate:g}"))
        began = end
    for layer, (origin, rate) in enumerate(zip(made.origins, made.rates, strict=True), start=1):
        whose = "new" if origin == FRESH else "random" if origin == RANDOM else origin
        words.append(_text(LEFT - 6, _y(layer, depth) + 14, f"{whose} {layer}", "end"))
        if rate != 1:
            words.append(_text(LEFT + WIDTH + 5, _y(layer, depth) + 14, f"÷ {1 / rate:.3g}"))
    bottom = TOP + depth * ROW
    words += [_text(LEFT, bottom + 16, "first step"), _text(LEFT + WIDTH, bottom + 16, "last step", "end")]
    if treatment.patient:
        words.append(_text(LEFT + WIDTH / 2, bottom + 16, "each until patience is over", "middle"))
    words.append(_text(LEFT, TOP - 6, made.network.name) if made.stages[0].rate == 1 else "")
    size = f'width="{LEFT + WIDTH + 56}" height="{bottom + FOOT}"'
    about = escape(f"{made.network.name}: {treatment.about}")
    body = "\n".join(filter(None, [*cells, *words]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{LINE}" role="img">\n'
        f"<title>{about}</title>\n{body}\n</svg>\n"
    )


def draw_treatments(folder: str | Path) -> list[Path]:
    """Write the chart of every built-in treatment, `chain-thaw` and so on of one origin alone, into the folder: the paths."""
    shown = [one for one in TREATMENTS.values() if not one.own and ("." not in one.name or one.origin == "other")]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{one.name}.svg" for one in shown]
    for path, treatment in zip(paths, shown, strict=True):
        write_text(path, chart(treatment))
    return paths


def _y(layer: int, depth: int) -> int:
    return TOP + (depth - layer) * ROW


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
