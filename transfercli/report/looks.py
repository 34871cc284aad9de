"""How treatments and failures look, in figures and on the page."""

from typing import NamedTuple

from transfercli.analysis.words import OF_RANDOM_FEATURES


class Look(NamedTuple):
    """How a treatment is drawn in every figure."""

    color: str
    marker: str
    label: str
    dodge: float  # shift to the side, in layers, so that treatments do not hide each other


# Okabe and Ito's colours, which colour-blind readers tell apart; fine-tuned is frozen's lighter neighbour.
LOOKS = {
    "base": Look("#000000", "o", "base  trained from scratch", 0.0),
    "BnB": Look("#0072B2", "s", "BnB  selffer, frozen", -0.24),
    "BnB+": Look("#56B4E9", "<", "BnB+  selffer, fine-tuned", -0.12),
    "AnB": Look("#D55E00", "D", "AnB  transfer, frozen", 0.0),
    "AnB+": Look("#E69F00", "^", "AnB+  transfer, fine-tuned", 0.12),
    "RnB": Look("#009E73", "v", "RnB  random, frozen", 0.24),
}


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
