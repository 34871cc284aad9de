"""What kinds of split, halves, chance and differences are called, in figures, on the page, on a terminal."""

import re
from collections.abc import Mapping

from transfercli.plan.tasks import HALVES
from transfercli.plan.treatments import LETTERS
from transfercli.system.errors import plain

PANEL_TITLES = {
    "random": "random halves",
    "man-made-natural": "man-made / natural halves",
    "all-1000": "all 1000 classes",
}
EXPLAINED = ("base", "BnB", "BnB+", "AnB", "AnB+", "RnB")  # the treatments that the page's text and the conclusions speak of
OF_RANDOM_FEATURES = "random features that learned nothing"  # which is a result and no failure
LEAST_PAIRS = 3  # that an interval is drawn of: Student's t of two is 12.7, and a bar of ±25 points hides the panel


def signed(number: float, digits: int = 2) -> str:
    """A number with its sign; the minus is a real one, and nothing is minus zero."""
    return f"{round(number, digits) + 0.0:+.{digits}f}".replace("-", "−")


def counted(number: int, one: str, many: str = "") -> str:
    """1 network, 3 networks, 450,000 steps."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """A, B and C."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1] if words else "") if part)


def sides(quantity: str) -> list[str]:
    """The treatments of a difference: AnB.lp-ft-AnB+ is AnB.lp-ft less AnB+."""
    return re.split(rf"-(?=base|[{''.join(LETTERS.values())}]nB)", quantity)


BESIDE = ": "  # between the name of a network, where a study has several, and a kind of split, neither of which holds it


def minus(quantity: str) -> str:
    """AnB-base as AnB − base."""
    return " − ".join(sides(quantity))


def beside(net: str, kind: str) -> str:
    """A kind of split with what its networks are called, where a study has several."""
    return f"{net}{BESIDE}" * bool(net) + kind


def of_kind(kind: str) -> tuple[str, str]:
    """The network's name, empty where a study has one, and the kind of split."""
    net, _, kind = kind.rpartition(BESIDE)
    return net, kind


def kind_title(kind: str) -> str:
    """A kind of split as lines and tables begin with it: "random", "resnet18, random"."""
    return ", ".join(filter(None, of_kind(kind)))


Names = Mapping[tuple[str, str], str]  # (split, half) to what the half is called, where that is not its letter


def panel_title(kind: str, names: Names) -> str:
    """What a kind of split is called: "random halves", "pets: cats / dogs halves" where its halves have names."""
    net, kind = of_kind(kind)
    if net:
        return f"{plain(net)}{BESIDE}{panel_title(kind, names)}"
    if kind in PANEL_TITLES:
        return PANEL_TITLES[kind]
    if all((kind, half) in names for half in HALVES):
        return f"{plain(kind)}: {' / '.join(half_name(kind, half, names) for half in HALVES)} halves"
    return f"halves of {plain(kind)}"


def half_name(split: str, half: str, names: Names) -> str:
    """What a half of a split (or kind of split) is called: "natural", or "A" where it has no other name."""
    return plain(names.get((of_kind(split)[1], half), half))


def half_title(split: str, half: str, names: Names) -> str:
    """A half with its letter, by which networks are called: "A (natural)", or "A"."""
    name = half_name(split, half, names)
    return f"{plain(half)} ({name})" if name != half else plain(half)


def chance_name(level: float) -> str:
    """What guessing gives: 1/20 where classes are equal, else the largest class's share, as 0.37."""
    equal = round(1 / level)
    return f"1/{equal}" if abs(level * equal - 1) < 1e-3 else f"{level:.2f}"
