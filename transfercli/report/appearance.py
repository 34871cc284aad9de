"""How treatments and failures look, in figures and on the page."""

from typing import NamedTuple

from transfercli.analysis.words import OF_RANDOM_FEATURES
from transfercli.plan.treatments import TREATMENTS


class Look(NamedTuple):
    """How a treatment is drawn in every figure."""

    color: str
    marker: str
    dodge: float  # shift to the side, in layers, so that treatments do not hide each other
    label: str


# Okabe and Ito's colours, which colour-blind readers tell apart; fine-tuned is frozen's lighter neighbour.
CHOSEN = {
    "base": ("#000000", "o", 0.0),
    "BnB": ("#0072B2", "s", -0.24),
    "BnB+": ("#56B4E9", "<", -0.12),
    "AnB": ("#D55E00", "D", 0.0),
    "AnB+": ("#E69F00", "^", 0.12),
    "RnB": ("#009E73", "v", 0.24),
}
# Of ways to fine-tune: a marker and a hue each, in three shades: of one's own layers, of another's, of pretrained ones. The
# oldest has the place among further treatments that it always had.
TUNED = {
    "keep": ("*", "#A59CE0", "#6A5ACD", None),
    "chain-thaw": (">", "#D9A0D3", "#AA4499", "#6E2A63"),
    "gradual": ("p", "#8CC8A0", "#117733", "#0A4A20"),
    "discriminative": ("h", "#E3AEB6", "#CC6677", "#8A3A48"),
    "lp-ft": ("<", "#D0A98F", "#A0522D", "#5C2E17"),
    "surgical": ("v", "#A9C4E0", "#6699CC", "#33557F"),
}
# Of further treatments, by turns; of Okabe and Ito's colours one is left that shows on white, the others are Paul Tol's.
COLORS, MARKERS = ("#CC79A7", "#882255", "#999933", "#332288", "#44AA99"), (">", "p", "h", "*")
DODGES = (0.06, -0.06, 0.18, -0.18, 0.3, -0.3, 0.36, -0.36)
SHADED = {
    f"{letter}nB.{word}": (color, marker)
    for word, (marker, *colors) in TUNED.items()
    for letter, color in zip("BAP", colors, strict=True)
    if color
}
CHOSEN |= {name: (*drawn, DODGES[(place + 4) % len(DODGES)]) for place, (name, drawn) in enumerate(SHADED.items())}


def look(treatment: str) -> Look:
    """How the treatment looks; one without a look of its own has that of its place in `TREATMENTS`."""
    chosen = CHOSEN.get(treatment)
    if not chosen:
        place = [name for name in TREATMENTS if name not in CHOSEN].index(treatment)
        chosen = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)], DODGES[place % len(DODGES)]
    return Look(*chosen, label=f"{treatment}  {TREATMENTS[treatment].about}")


PAPER = "Yosinski et al. 2014"
LAYER = "layer n at which the network is chopped and retrained"
CROSSES = {"did not learn": "x", "no better than chance": "1", "diverged": "+"}
TWO_PAIRS = "no interval of two pairs (t = 12.7)"
SPREAD = 0.035  # layers: how far to each side the networks of one treatment and layer stand


def cross(status: str) -> str:
    """The marker of a network that is not done; one that diverged says at which step."""
    return (CROSSES | {OF_RANDOM_FEATURES: CROSSES["did not learn"]}).get(status, CROSSES["diverged"])


def side_by_side(networks: int) -> list[float]:
    """Where the networks of one treatment and layer stand beside their mean, in layers."""
    if networks == 1:
        return [0.0]
    return [SPREAD * (2 * place / (networks - 1) - 1) for place in range(networks)]


# What `transfer advise` compares, by family: the words of legends. Their looks are those of their treatments.
WAYS = {
    "keep": "pretrained, the first n frozen",
    "fresh": "the first n pretrained and frozen, the rest fresh",
    "scratch": "from scratch",
    "random": "random features",
}
