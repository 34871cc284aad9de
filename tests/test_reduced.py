"""The released curve over pictures a class, beside studies of ImageNet's size."""

from test_lecture import study

import transfercli
from transfercli.analysis.reduced import conclude_reduced, reduced


def test_only_released_networks_that_learned_are_shown() -> None:
    rounded = {pictures: round(top1, 3) for pictures, top1 in reduced("top1_best10").items()}
    assert rounded == {250: 0.384, 500: 0.476, 750: 0.515, 1000: 0.541, 1300: 0.552}
    assert reduced().keys() == rounded.keys() and reduced()[250] == 0.38332


def test_the_released_curve_stands_beside_studies_of_imagenets_size() -> None:
    table = study({}, amounts=(5, 25, 100))
    amounts = table["train_pictures"] / 10
    table = table.assign(classes=500, train_pictures=500 * amounts.replace({5: 250, 25: 500, 100: 1300}), top1=amounts / 200)
    (said,) = conclude_reduced(table)
    assert said.startswith(
        "random: from scratch 2.5% at 250, 12.5% at 500 and 50.0% at 1300 pictures a class; the released networks"
    )
    assert "38.3% at 250, 47.5% at 500, 51.4% at 750, 54.1% at 1000 and 55.2% at 1300. Where" in said
    assert said in transfercli.analyze(table).amounts
    assert conclude_reduced(table.assign(classes=100)) == [], "of fewer classes"
    assert conclude_reduced(table[table["train_pictures"] != 500 * 500].assign(train_pictures=500 * amounts)) == [], (
        "of few pictures"
    )
    assert conclude_reduced(transfercli.published_table()) == []
