"""Sentences against tables whose answers are known: the released study, and small ones made for one sentence each."""

import math

import pandas as pd
import pytest

from transfercli.analysis import published_table
from transfercli.conclusions import conclude


def network(split: str, treatment: str, layer: int, top1: float, status: str = "done", pictures: float = 1000) -> dict:
    place = {"split": split, "seed": 0, "target": "B", "network": f"{treatment}{layer}", "source": ""}
    return place | {
        "treatment": treatment,
        "layer": layer,
        "top1": top1,
        "status": status,
        "classes": 10,
        "val_pictures": pictures,
    }


def study(gains: dict[str, list[float]], repeats: int = 3, spread: float = 0.004, pictures: float = 1000) -> pd.DataFrame:
    """Bases at 0.5 and networks above them by these gains for layers 1, 2, ...; the repeats lie `spread` apart."""
    rows = []
    for repeat in range(repeats):
        split, aside = f"random-{repeat}", spread * (repeat - (repeats - 1) / 2)
        rows.append(network(split, "base", 0, 0.5, pictures=pictures))
        for treatment, by_layer in gains.items():
            rows += [network(split, treatment, n, 0.5 + gain + aside, pictures=pictures) for n, gain in enumerate(by_layer, 1)]
    return pd.DataFrame(rows)


def sentences(*args, **kwargs) -> list[str]:
    return conclude(study(*args, **kwargs))["random"]


def test_the_released_study() -> None:
    said = conclude(published_table(), "top1_best10")
    assert list(said) == ["random", "man-made-natural", "all-1000"]
    assert said["random"] == [
        "Layer 1: AnB is above its base, +0.31 (+0.06 to +0.56) points.",
        "Layer 2: features of the other half serve as well as the half's own: the difference is within ±0.4 points.",
        "Layers 3-7: AnB is below its base: −0.62 (−0.91 to −0.33) points at layer 3, −8.26 (−8.49 to −8.03) points at layer 7.",
        "Co-adaptation (BnB − base) costs accuracy at layers 4-6, most at layer 5: −2.97 (−3.27 to −2.68) points.",
        "Specificity (AnB − BnB) costs accuracy from layer 4 on, most at layer 7: −8.24 (−8.45 to −8.04) points.",
        "Fine-tuning recovers most at layer 7: AnB+ − AnB is +9.39 (+8.53 to +10.24) points.",
        "AnB+ is +0.97 points from its base (mean of layers 1-7), clearly above from layer 3 on.",
        "BnB+ is +0.94 points from its base (mean of layers 1-7), clearly above at layers 3, 4, 6, 7.",
        "A point has 1 to 8 pairs; where it has one, its interval says only what the number of validation pictures can do, "
        "not what other halves or seeds would give.",
    ]
    assert said["all-1000"][-1] == "1 of 8 networks failed and are in no mean: all-1000 R3all (did not learn)."


def test_runs_of_layers_with_one_verdict_share_a_sentence() -> None:
    said = sentences({"AnB": [0.001, -0.001, 0.05, -0.05, -0.10, -0.08]})
    # Student's t for three repeats 0.4 points apart reaches 0.99 points to each side.
    assert said[:3] == [
        "Layers 1-2: these pairs cannot tell AnB from its base: +0.10 points at layer 1, −0.10 at layer 2, intervals from "
        "−1.09 to +1.09.",
        "Layer 3: AnB is above its base, +5.00 (+4.01 to +5.99) points.",
        "Layers 4-6: AnB is below its base: −5.00 (−5.99 to −4.01) points at layer 4, −10.00 (−10.99 to −9.01) points at "
        "layer 5, −8.00 (−8.99 to −7.01) points at layer 6.",
    ]
    assert said[-1] == "A point has 3 pairs."


def test_likeness_is_claimed_only_where_every_interval_is_narrow() -> None:
    assert sentences({"AnB": [0.001, -0.001]}, spread=0.003)[0] == (
        "Layers 1-2: features of the other half serve as well as the half's own: the difference is within ±0.8 points."
    )
    assert "cannot tell" in sentences({"AnB": [0.001, -0.003]}, spread=0.003)[0]


def test_two_pairs_are_said_to_be_few() -> None:
    assert sentences({"AnB": [0.0]}, repeats=2)[-1] == (
        "A point has 2 pairs; with two an interval is wide (Student's t is 12.7), and further seeds or splits would narrow it."
    )


def test_causes_that_nothing_shows() -> None:
    said = sentences({"BnB": [0.0, 0.001], "AnB": [0.0, 0.0]}, spread=0.02)
    assert "Co-adaptation (BnB − base) is at no layer clearly below zero." in said
    only = sentences({"BnB": [-0.05], "AnB": [-0.04]})
    assert "Co-adaptation (BnB − base) costs accuracy at layer 1: −5.00 (−5.99 to −4.01) points." in only
    assert "Specificity (AnB − BnB) is at no layer clearly below zero." in only


def pairs_of(differences: list[list[float]]) -> pd.DataFrame:
    """A study of one layer a list, whose AnB+ − BnB+ take these values in the splits random-0, random-1, ..."""
    rows = []
    for repeat in range(len(differences[0])):
        rows.append(network(f"random-{repeat}", "base", 0, 0.5))
        for layer, values in enumerate(differences, 1):
            rows.append(network(f"random-{repeat}", "BnB+", layer, 0.6))
            rows.append(network(f"random-{repeat}", "AnB+", layer, 0.6 + values[repeat]))
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        (
            [[0.01, -0.01, 0.0], [0.02, -0.02, 0.0]],
            "What AnB+ gains cannot at any layer be told from what BnB+ gains, which only trains longer on its own half.",
        ),
        (
            [[0.05, 0.051, 0.049], [0.0, 0.01, -0.01]],
            "Fine-tuning the other half's layers gives more at layer 1 than fine-tuning the own half's (AnB+ − BnB+).",
        ),
        (
            [[0.05, 0.051, 0.049], [-0.05, -0.051, -0.049], [-0.06, -0.061, -0.059]],
            "Fine-tuning the other half's layers gives more at layer 1 and less from layer 2 on than fine-tuning the own half's "
            "(AnB+ − BnB+).",
        ),
    ],
)
def test_transfer_against_training_longer(differences: list[list[float]], sentence: str) -> None:
    assert sentence in conclude(pairs_of(differences))["random"]


def test_one_pair_is_judged_by_what_its_validation_pictures_can_do() -> None:
    said = sentences({"AnB": [-0.04, -0.05]}, repeats=1)
    reach = 1.959964 * math.sqrt((0.5 * 0.5 + 0.46 * 0.54) / 1000)  # 4.37 points: a drop of 4 is within, one of 5 is not
    assert said[0] == (
        f"Layer 1: these pairs cannot tell AnB from its base: −4.00 (−{4 + 100 * reach:.2f} to +{100 * reach - 4:.2f}) points."
    )
    assert said[1].startswith("Layer 2: AnB is below its base, −5.00 (")
    assert said[-1] == (
        "Every point has one pair, and its interval says only what the number of validation pictures can do, "
        "not what other halves or seeds would give."
    )


def test_one_pair_on_pictures_that_nobody_counted_shows_nothing() -> None:
    said = sentences({"AnB": [-0.4]}, repeats=1, pictures=math.nan)
    assert said[0] == "Layer 1: nothing can be told of AnB and its base, for want of an interval."


def test_failed_networks_are_named() -> None:
    table = study({"AnB": [0.0, 0.0]})
    rows = [network("random-0", "BnB", n, 0.1, status="did not learn") for n in range(1, 10)]
    said = conclude(pd.concat([table, pd.DataFrame(rows)]))["random"]
    assert said[-1].startswith("9 of 18 networks failed and are in no mean: random-0 BnB1 (did not learn), ")
    assert said[-1].endswith("random-0 BnB8 (did not learn) and 1 more.")


def test_kinds_of_split_are_told_apart_and_one_without_transfer_says_nothing() -> None:
    natural = study({"AnB": [-0.3]}).assign(split=lambda table: table["split"].str.replace("random", "mine"))
    bases = pd.DataFrame([network("man-made-natural", "base", 0, 0.5)])
    table = pd.concat([natural[natural["split"] == "mine-0"], study({"AnB": [0.3]}), bases])
    said = conclude(table)
    assert list(said) == ["random", "mine-0"]
    assert "above" in said["random"][0] and "below" in said["mine-0"][0]
    assert conclude(pd.DataFrame()) == {}
