"""Numbers and networks in words, as the page writes them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from transfercli.analysis.words import BESIDE, Names, half_name, half_title, panel_title, signed
from transfercli.plan.networks import SOURCE_WORDS, named
from transfercli.plan.resolve import FRESH, resolve

NONE = "–"  # where there is no number


def missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(share: Any, digits: int = 1) -> str:
    """A fraction as 91.5%."""
    return NONE if missing(share) else f"{100 * share:.{digits}f}%"


def points(share: Any, digits: int = 2) -> str:
    """A difference of fractions in points, with its sign, which 0 has none of."""
    if missing(share):
        return NONE
    text = signed(100 * share, digits)
    return text if text.strip("+−0.") else text.lstrip("+")


def between(low: Any, high: Any, digits: int = 2) -> str:
    """An interval of a difference in points, empty where there is none."""
    return "" if missing(low) else f"{points(low, digits)} to {points(high, digits)}"


def sentence(text: str) -> str:
    """The text with a capital at its start, and else as it is."""
    return text[:1].upper() + text[1:]


def heading(title: str, nets: Collection[str]) -> str:
    """A title as a sentence, unless it begins with a network's name, which is written as it is."""
    return title if title.partition(BESIDE)[0] in nets else sentence(title)


def made_of(row: Mapping[str, Any], names: Names, layers: int) -> str:
    """Where the layers of a network of so many come from, and what they are trained on."""
    made, target = (
        resolve(named(row["split"], row["seed"], row["network"]), layers),
        half_title(row["split"], row["target"], names),
    )
    copied = tuple(layer for layer, origin in enumerate(made.origins, start=1) if origin != FRESH)
    if not copied:
        return f"All layers trained on {target} from random weights."
    outside = made.network.source in SOURCE_WORDS
    source = row["source"] if outside else f"from base{half_title(row['split'], row['source'], names)}"
    first = "All layers" if len(copied) == layers else sentence(_numbered(copied))
    how = "" if len(made.stages) == len({*made.rates}) == 1 else f" ({made.network.rule.about})"
    if made.frozen == copied:
        return f"{first} {source}{' and' if outside else ','} frozen; the rest fresh, trained on {target}{how}."
    learn = f"the {_numbered(made.frozen)} frozen, the others" if made.frozen else "all of them"
    return f"{first} {source}{', the rest fresh' * (len(copied) < layers)}; {learn} trained on {target}{how}."


def _numbered(layers: Sequence[int]) -> str:
    """Layers that follow one another: first layer, first 3 layers, layers 2-3."""
    first, last = layers[0], layers[-1]
    if first == 1:
        return "first layer" if last == 1 else f"first {last} layers"
    return f"layer {first}" if first == last else f"layers {first}-{last}"


def conclusion_title(name: str, names: Names) -> str:
    """The title of what `conclusions.conclude` names "random", or "man-made-natural, target A"."""
    kind, _, target = name.partition(", target ")
    return panel_title(kind, names) + (f", to {half_name(kind, target, names)}" if target else "")
