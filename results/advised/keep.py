"""Keep a study of `transfer advise`: recipe, plan, table, predictors, figures, report, and what it said.

python results/advised/keep.py STUDY NAME "COMMAND"     writes results/advised/NAME
"""

import json
import shutil
import sys
from pathlib import Path

from transfercli.advice.advising import advice_of
from transfercli.advice.predicting import compared
from transfercli.cli import main
from transfercli.study.folder import Study

HERE = Path(__file__).parent
FIGURES = ("accuracy-vs-frozen", "accuracy-vs-cost", "learning-curves")


def keep(study: Study, target: Path, command: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    main(["plot", "--study", str(study.root), "--out", str(target / "figures")])
    main(["report", "--study", str(study.root), "--out", str(target / "report.html")])
    main(["advise", "--study", str(study.root), "--csv", str(target / "ways.csv")])
    for name in ("advice.json", "predictors.json", "results.csv", "recipe.yaml"):
        shutil.copy(study.root / name, target)
    source, said = study.recipe().source, json.loads((target / "advice.json").read_text(encoding="utf-8"))["asked"]["source"]
    assert source is not None
    for path in (target / "recipe.yaml", target / "report.html"):  # where the source lay says nothing here
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(source.weights, said), encoding="utf-8")
    (target / "README.md").write_text(page(study, target.name, command), encoding="utf-8")


def page(study: Study, name: str, command: str) -> str:
    """What made the study, what it said, and what could be told before, as Markdown."""
    found, rows = advice_of(study), study.table()
    assert found is not None

    def all_of(column: str) -> str:
        return ", ".join(sorted({str(value) for value in rows[column] if str(value) != ""}))

    banks = rows.drop_duplicates(["split", "seed", "bank"])
    minutes = (rows["finished"].max(), banks["bank_seconds"].sum() / 60)
    lines = [
        f"# {name}",
        "",
        f"`{command}`",
        "",
        f"{len(rows)} networks, not at the paper's scale.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {column} | {all_of(column)} |" for column in ("device", "precision", "torch", "commit")),
        f"| finished | {minutes[0]} |",
        f"| in training | {minutes[1]:.1f} minutes |",
        "",
        *(f"- {sentence}" for sentence in found.sentences),
        "",
        "All of it on one page: [report.html](report.html) (download it, then open it in a browser).",
        "",
        *(line for figure in FIGURES for line in (f"![{figure.replace('-', ' ')}](figures/{figure}.png)", "")),
        "| way | frozen | learning rate | top-1 (95%) | cost | at most worse than the best |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {row['arm']}{' (advised)' * row['advised']} | {row['frozen']} | {row['learning_rate']:.3g} | "
            f"{row['top1']:.3f} ({row['low']:.3f}-{row['high']:.3f}) | {row['cost']:.2f} | {100 * row['at_most']:.1f} points |"
            for row in found.table.to_dict("records")
        ),
    ]
    told = compared(study)
    lines += ["", "## What could be told before", "", *(f"- {sentence}" for sentence in told)] if told else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    keep(Study(Path(sys.argv[1])), HERE / sys.argv[2], sys.argv[3])
