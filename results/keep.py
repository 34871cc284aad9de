"""Keep a finished study as a reference: its recipe, splits, table, figures, report and differences, and what made it.

python results/keep.py STUDY NAME "COMMAND"          writes results/reference/NAME
python results/keep.py STUDY NAME "COMMAND" --paper  the same, with the published means of 2014 in its figures
"""

import json
import shutil
import sys
from pathlib import Path

import transfercli
from transfercli.analysis import lecture, ways
from transfercli.analysis.pairs import guess
from transfercli.cli import main
from transfercli.plan.treatments import TREATMENTS
from transfercli.study.folder import Study

MANY = 200  # networks, of which the other figures are megabytes that show nothing
BY_LAYER = {"accuracy-vs-layer": "Accuracy against layer", "drop-vs-layer": "Gain over the base"}
FIGURES = {  # those of a page, where the study has them; by layer only where there are several
    **BY_LAYER,
    "amounts": "Accuracy and gain against pictures a class",
    "ways-vs-cost": "Ways to fine-tune against their cost",
}


def keep(study: Study, target: Path, command: str, paper: bool = False) -> None:
    for split in study.split_names():
        (target / split).mkdir(parents=True, exist_ok=True)
        values = json.loads((study.root / split / "split.json").read_text(encoding="utf-8"))
        text = json.dumps({**values, "folder": "."}, indent=1, ensure_ascii=False)  # where the pictures were says nothing here
        (target / split / "split.json").write_text(text + "\n", encoding="utf-8")
    for name in ("recipe.yaml", "results.csv"):
        shutil.copy(study.root / name, target)
    main(["plot", "--study", str(study.root), "--out", str(target / "figures"), *["--paper"] * paper])
    main(["report", "--study", str(study.root), "--out", str(target / "report.html")])
    main(["analyze", "--study", str(study.root), "--csv", str(target / "differences.csv")])
    rows = study.table()
    one = {*BY_LAYER} if rows.loc[rows["layer"] > 0, "layer"].nunique() < 2 else set()
    for path in (target / "figures").iterdir():
        if path.stem in one or (len(rows) > MANY and path.stem not in FIGURES):
            path.unlink()
    made = {path.stem for path in (target / "figures").glob("*.png")}
    (target / "README.md").write_text(page(study, target.name, command, made), encoding="utf-8")


def page(study: Study, name: str, command: str, figures: set[str]) -> str:
    """What made the study, what it shows, and its table of top-1 accuracy, as Markdown."""
    every, found = study.table(), transfercli.analyze(study)
    rows = found.table  # at the learning rates and lengths that count

    def all_of(column: str) -> str:
        return ", ".join(sorted({str(value) for value in every[column] if str(value) != ""}))

    banks = every.drop_duplicates(["split", "seed", "bank"])
    lines = [
        f"# {name}",
        "",
        f"`{command}`",
        "",
        f"{len(every)} networks, not at the paper's scale. Recipe digest `{every['recipe_digest'].iloc[0][:16]}`.",
        "",
        "| | |",
        "|---|---|",
        f"| machine | {all_of('device')} |",
        f"| precision | {all_of('precision')} |",
        f"| torch | {all_of('torch')} |",
        f"| commit | {all_of('commit')} |",
        f"| finished | {every['finished'].max()} |",
        f"| training | {banks['bank_seconds'].sum():.0f} s, evaluations included, in {len(banks)} banks |",
        "",
        "All of it on one page: [report.html](report.html) (download it, then open it in a browser).",
        *(line for name, title in FIGURES.items() if name in figures for line in ("", f"![{title}](figures/{name}.png)")),
    ]
    said = {f"What it shows: {kind}": sentences for kind, sentences in found.conclusions.items()}
    said |= {f"Ways to fine-tune: {kind}": sentences for kind, sentences in ways.sentences(found.ways).items()}
    said |= {"How much data": found.amounts, "The lecture's rule of thumb": lecture.sentences(found.lecture)}
    for title, sentences in said.items():
        lines += ["", f"## {title}", "", *(f"- {sentence}" for sentence in sentences)] if sentences else []
    of_data = "per" in rows
    for key, part in rows.groupby(["split", "target"]):
        split, half = map(str, key)
        lines += ["", f"## {split}, target {half}: top-1 (chance {guess(part).iloc[0]:.3f})", ""]
        columns = part["train_pictures"] // part["classes"] if of_data else part["layer"]
        each = sorted(set(columns))
        lines += ["| treatment | " + " | ".join(f"{n} a class" if of_data else f"n = {n}" for n in each) + " |"]
        lines += ["|---|" + "---:|" * len(each)]
        for treatment in TREATMENTS:
            of = part[part["treatment"] == treatment].groupby(columns)["top1"].mean()
            if len(of):
                lines.append(f"| {treatment} | " + " | ".join(f"{of[n]:.3f}" if n in of else "" for n in each) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    keep(Study(Path(sys.argv[1])), Path(__file__).parent / "reference" / sys.argv[2], sys.argv[3], "--paper" in sys.argv[4:])
