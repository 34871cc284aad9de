"""What transfer gives by how much data the target has: curves over pictures a class; where it stops paying. No torch."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pandas as pd

from transfercli.analysis.differences import bounded, mean_of_pairs
from transfercli.analysis.pairs import UNIT, by_network, kind_of_split, kinds_of_split, records, sound
from transfercli.analysis.verdicts import Gain
from transfercli.analysis.words import kind_title, minus
from transfercli.plan.networks import AXES
from transfercli.plan.treatments import TREATMENTS
from transfercli.study.best import by_length

SCARCE, TWICE = "AnB+-BnB+", "base+-base"  # what the other half adds where the target is scarce, and its control
CURVE = ["net", "splits", "treatment", "layer", "pictures", "mean", "low", "high", "n"]
GAINS = ["net", "splits", "quantity", "layer", "pictures", "mean", "low", "high", "n"]
LENGTHS = ["net", "splits", "treatment", "layer", "pictures", "lengths"]


def by_amount(table: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """The study's networks of each amount of the target's data: network's name, pictures a class, rows; fewest pictures first.

    Those with a source of its own kind are none of them. Nothing where there is a single amount, or rows do not say how many.
    """
    if "per" not in table or "train_pictures" not in table:
        return
    other = [key for key in AXES if key in table and key not in ("net", "per")]
    usual = table[other].fillna({key: AXES[key].usual for key in other}).eq([AXES[key].usual for key in other]).all(axis=1)
    table = table[usual].drop(columns=other)
    nets = table["net"].fillna("") if "net" in table else pd.Series("", index=table.index)
    for net, of_net in table.groupby(nets):
        parts = list(by_network(of_net.drop(columns="net", errors="ignore")).values())
        counted = [(float((part["train_pictures"] / part["classes"]).mean()), part) for part in parts]
        if len(counted) > 1:
            yield from ((str(net), pictures, part) for pictures, part in sorted(counted, key=lambda one: one[0]))


def curves(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Accuracies by pictures a class: columns CURVE; a base at layer 0. low and high bound the mean's 95% interval (n pairs)."""
    rows = []
    for net, pictures, part in by_amount(table):
        good = sound(part).astype({metric: float})
        units = good.assign(splits=[kind_of_split(split) for split in good["split"]])
        units = units.groupby(["splits", "treatment", "layer", *UNIT], as_index=False).agg(value=(metric, "mean"))
        for (kind, treatment, layer), group in units.dropna(subset=["value"]).groupby(["splits", "treatment", "layer"]):
            rows.append((net, kind, treatment, layer, pictures, *mean_of_pairs(str(kind), group["value"]), len(group)))
    return pd.DataFrame(rows, columns=CURVE)


def lengths(table: pd.DataFrame) -> pd.DataFrame:
    """The lengths that held-out pictures chose, by pictures a class: columns LENGTHS, these the smallest and the largest of the
    pairs, in multiples of all steps. Empty where there was nothing to choose.
    """
    rows = []
    for net, pictures, part in by_amount(table) if "best_length" in table else ():
        by_way = part.assign(splits=[kind_of_split(split) for split in part["split"]])
        for (kind, treatment, layer), group in by_way.groupby(["splits", "treatment", "layer"]):
            ends = sorted({group["best_length"].min(), group["best_length"].max()})
            rows.append((net, kind, treatment, layer, pictures, " to ".join(f"{end:.3g}" for end in ends)))
    return pd.DataFrame(rows, columns=LENGTHS)


def gains(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Gains over the base, and SCARCE, by pictures a class: columns GAINS and `trained`; each with its own base
    (`differences.bounded`). `trained` is "" of what counts; of a study that tried several lengths what it had been if all had
    trained equally long follows (`by_length`).
    """
    found = pd.concat([_gains(of, metric).assign(trained=trained) for trained, of in by_length(table).items()])
    return found.reset_index(drop=True)


def _gains(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    parts = [
        found.assign(net=net, pictures=pictures)
        for net, pictures, part in by_amount(table)
        if len(found := bounded(part, metric))
    ]
    if not parts:
        return pd.DataFrame(columns=GAINS)
    found = pd.concat(parts, ignore_index=True)
    wanted = found["quantity"].str.endswith("-base") | (found["quantity"] == SCARCE)
    found = found[wanted & found["layer"].str.isdigit()].astype({"layer": int})
    return found[GAINS]


def conclude_amounts(table: pd.DataFrame, metric: str = "top1") -> list[str]:
    """Up to how many pictures a class transfer pays, and the effect of a scarce target; each sentence follows from intervals."""
    found, sentences = gains(table, metric), []
    for kind in kinds_of_split(found):
        for (net, quantity, layer), group in found[found["splits"] == kind].groupby(["net", "quantity", "layer"], sort=False):
            by_pictures, *beside = (_by_pictures(of) for _, of in group.groupby("trained", sort=False))
            if len(by_pictures) < 2 or quantity == TWICE:
                continue
            where = ", ".join(filter(None, (str(net), kind_title(kind), f"n = {layer}")))
            shown = minus(str(quantity))
            if quantity == SCARCE:
                twice = found[(found["splits"] == kind) & (found["net"] == net) & (found["quantity"] == TWICE)]
                said = f"the effect of a scarce target ({shown}): {_listed(by_pictures)}{_twice(twice[twice['trained'] == ''])}"
            else:
                said = f"{TREATMENTS[str(quantity).removesuffix('-base')].about} ({shown}), {_paying(by_pictures)}"
            equally = zip([*dict.fromkeys(group["trained"])][1:], beside, strict=True)
            sentences.append(f"{where}: {said}{''.join(f'; at {trained}: {_listed(of)}' for trained, of in equally)}.")
    return sentences


def crossing(means: dict[float, float]) -> float | None:
    """At how many pictures the mean gain last falls to zero, on straight lines over the logarithm; None where it does not."""
    falls = [
        math.exp(math.log(few) + (math.log(many) - math.log(few)) * means[few] / (means[few] - means[many]))
        for few, many in pairwise(sorted(means))
        if means[few] > 0 >= means[many]
    ]
    return falls[-1] if falls and means[max(means)] <= 0 else None


def _by_pictures(found: pd.DataFrame) -> dict[float, Gain]:
    return {row["pictures"]: Gain.of(row) for row in records(found.sort_values("pictures"))}


def _paying(by_pictures: dict[float, Gain]) -> str:
    """Up to which amount a gain is clear of zero."""
    amounts = list(by_pictures)
    paid = [amount for amount in amounts if by_pictures[amount].verdict == "above"]
    if all(gain.verdict == "unknown" for gain in by_pictures.values()):
        return f"cannot be told for want of intervals: {_listed(by_pictures)}"
    if not paid:
        return f"is at no amount clearly above zero: {_listed(by_pictures)}"
    if len(paid) == len(amounts):
        return f"pays at every amount, up to {_many(amounts[-1])}: {_listed(by_pictures)}"
    if paid != amounts[: len(paid)]:
        return f"is clearly above zero at {', '.join(f'{amount:g}' for amount in paid)} pictures a class: {_listed(by_pictures)}"
    fallen = crossing({amount: gain.mean for amount, gain in by_pictures.items()})
    near = f"; the mean falls to zero near {float(f'{fallen:.2g}'):g}" if fallen else ""
    last, after = paid[-1], amounts[len(paid)]
    return f"pays up to {_many(last)}, {by_pictures[last]} points, and no longer at {after:g}, {by_pictures[after]}{near}"


def _many(pictures: float) -> str:
    return f"{pictures:g} pictures a class"


def _listed(by_pictures: dict[float, Gain]) -> str:
    return ", ".join(f"{gain} points at {pictures:g}" for pictures, gain in by_pictures.items()) + " pictures a class"


def _twice(found: pd.DataFrame) -> str:
    """Beside it, what the base gains that is trained a second time on the same pictures, which no transfer is."""
    if found.empty:
        return ""
    return f"; its control, the base trained twice (base+ − base): {_listed(_by_pictures(found))}"
