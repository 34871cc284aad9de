"""How treatments, kinds of split, failures and differences look and are called, in figures, on the page, on a terminal."""

from collections.abc import Mapping
from typing import NamedTuple

from transfercli.system.errors import plain


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
PANEL_TITLES = {
    "random": "random halves",
    "man-made-natural": "man-made / natural halves",
    "all-1000": "all 1000 classes",
}
PAPER = "Yosinski et al. 2014"
LAYER = "layer n at which the network is chopped and retrained"
CROSSES = {"did not learn": "x", "no better than chance": "1", "diverged": "+"}
OF_RANDOM_FEATURES = "random features that learned nothing"  # which is a result and no failure
LEAST_PAIRS = 3  # that an interval is drawn of: Student's t of two is 12.7, and a bar of ±25 points hides the panel
TWO_PAIRS = "no interval of two pairs (t = 12.7)"
SPREAD = 0.035  # layers: how far to each side the networks of one treatment and layer stand


def signed(number: float, digits: int = 2) -> str:
    """A number with its sign; the minus is a real one, and nothing is minus zero."""
    return f"{round(number, digits) + 0.0:+.{digits}f}".replace("-", "−")


Names = Mapping[tuple[str, str], str]  # (split, half) to what the half is called, where that is not its letter


def panel_title(kind: str, names: Names) -> str:
    """What a kind of split is called: "random halves", "pets: cats / dogs halves" where its halves have names."""
    if kind in PANEL_TITLES:
        return PANEL_TITLES[kind]
    if (kind, "A") in names and (kind, "B") in names:
        return f"{plain(kind)}: {half_name(kind, 'A', names)} / {half_name(kind, 'B', names)} halves"
    return f"halves of {plain(kind)}"


def half_name(split: str, half: str, names: Names) -> str:
    """What a half of a split (or kind of split) is called: "natural", or "A" where it has no other name."""
    return plain(names.get((split, half), half))


def half_title(split: str, half: str, names: Names) -> str:
    """A half with its letter, by which networks are called: "A (natural)", or "A"."""
    name = half_name(split, half, names)
    return f"{plain(half)} ({name})" if name != half else plain(half)


def cross(status: str) -> str:
    """The marker of a network that is not done; one that diverged says at which step."""
    return (CROSSES | {OF_RANDOM_FEATURES: CROSSES["did not learn"]}).get(status, CROSSES["diverged"])


def chance_name(level: float) -> str:
    """What guessing gives: 1/20 where classes are equal, else the largest class's share, as 0.37."""
    equal = round(1 / level)
    return f"1/{equal}" if abs(level * equal - 1) < 1e-3 else f"{level:.2f}"


def side_by_side(networks: int) -> list[float]:
    """Where the networks of one treatment and layer stand beside their mean, in layers."""
    if networks == 1:
        return [0.0]
    return [SPREAD * (2 * place / (networks - 1) - 1) for place in range(networks)]
