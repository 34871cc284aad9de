"""Where a study stands: every network that is planned, there, in training or in a checkpoint, and how far each is."""

from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import Any

from transfercli.plan.networks import Network, axes_order, columns, named, of_row, several, without_need
from transfercli.plan.treatments import TREATMENTS, failed
from transfercli.study import checkpoint_files
from transfercli.study.attempts import working
from transfercli.study.checkpoint_files import FILES, FOLDER
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError


def status(study: Study) -> dict[str, Any]:
    """What `transfer status --json` prints but the next command: plain values.

    `networks` holds a dict for each, in the order of the table: the columns that name it; `planned`, whether the recipe plans it;
    `state`, one of done, failed, running and "to do"; `status` and `top1` of its row, or None; `step` (reached in its row, in
    training or in a checkpoint) of `steps`. `process` is who trains, or None; of its bank it holds the split, seed, networks,
    step, steps and steps_per_second, and `seconds_left` for all networks of the command. `checkpoints` are those from which a
    command would go on. `weights` is False for a table that was kept without its networks. Raises TransferError.
    """
    study.check_plain()
    rows, weights = _rows(study)
    bare = not weights and not study.recipe_file.exists()  # a results.csv alone, planned by nobody
    recipe = None if bare else study.recipe()
    planned = recipe.planned(study.need_splits()) if recipe and not study.advice_file.exists() else []
    halves = {name: study.halves(name) for name in study.split_names()} if recipe else {}
    holder, kept = study.holder(), _checkpoints(study, {*rows}) if recipe else []
    workers = working(study) if holder else []
    running = [named(*key) for key in ([key for one in workers for key in one["members"]] or (holder or {}).get("networks", []))]
    bank = (holder or {}).get("bank")
    groups = [*kept, *(one for one in [bank, *workers] if one and "step" in one)]
    at = {named(group["split"], group["seed"], name): group["step"] for group in groups for name in group["networks"]}

    def about(one: Network) -> dict[str, Any]:
        row = rows.get(one, {})
        state = (
            ("failed" if failed(one.treatment, row["status"]) else "done") if row else "running" if one in running else "to do"
        )
        said = {"status": row.get("status"), "top1": row.get("top1"), "step": row["step"] if row else at.get(one, 0)}
        of = columns(one, halves[one.split].split if one.split in halves else None)
        steps = halves[one.split].steps_of(one, recipe) if recipe and one.split in halves else None
        return {**of, "planned": one in planned, "state": state, **said, "steps": steps}

    networks = [about(one) for one in sorted({*planned, *running, *rows, *at}, key=_order)]
    counts = Counter(network["state"] for network in networks)
    return {
        "study": str(study.root),
        "recipe": recipe.name if recipe else None,
        "weights": weights,
        "counts": {"planned": len(planned), **{state: counts[state] for state in ("done", "failed", "running", "to do")}},
        "networks": networks,
        "process": holder and {**holder, "seconds_left": _seconds_left(bank, networks)},
        "workers": workers,
        "checkpoints": kept,
    }


def following(study: Study) -> str | None:
    """The command with which the study's recipe goes on: what it plans is trained, then drawn; after a failed base none.

    Of several networks those go on that need no failed base. An advice study, which has a plan of its own, is advised.
    """
    if study.advice_file.exists():
        return "advise"
    recipe = study.recipe()
    planned = recipe.planned(study.need_splits())
    rows = {network: study.row(network) for network in planned}
    if any(row is None for network, row in rows.items() if network.is_base):
        return "train-base"
    sources = [network for network in rows if network.is_base and not network.of_axes("training")]
    failed = [network for network in sources if (row := rows[network]) and row["status"] != "done"]
    going = without_need([network for network in planned if not network.is_base], failed)
    if failed and not (several(planned) and going):
        return None
    return "sweep" if any(rows[network] is None for network in going) else "plot"


def _rows(study: Study) -> tuple[dict[Network, dict[str, Any]], bool]:
    """The row of each network; and False where they are of a table that was kept alone, True where the networks are there."""
    rows = study.rows()
    if alone := not rows and (study.root / "results.csv").exists():
        from transfercli.study import table as tables  # which takes pandas half a second

        table = tables.load(study.root)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")  # type: ignore[assignment]
    return {of_row(row): row for row in rows}, not alone


def _checkpoints(study: Study, done: set[Network]) -> list[dict[str, Any]]:
    """The checkpoints from which networks without a row would go on, the furthest of each: split, seed, networks, step, saved."""
    kept, found = [], []
    for split in study.split_names():
        for folder in (study.root / split, *sorted((study.root / split).glob("seed-*"))):
            for path in folder.glob(f"{FOLDER}/{FILES}"):
                seed = folder.name.removeprefix("seed-") if folder.name != split else "0"
                with suppress(KeyError, ValueError, TypeError, TransferError):  # damaged, or not of this recipe and split
                    about = checkpoint_files.about(path)
                    ours = {one.digest() for one in study.recipe().each().values()}
                    if about["recipe"] in ours and about["split"] == study.halves(split).digest:
                        found.append((int(about["step"]), [named(split, int(seed), name) for name in about["networks"]], path))
    for step, networks, path in sorted(found, key=lambda one: -one[0]):
        if waiting := sorted({*networks} - done, key=_order):
            done = done | {*waiting}
            saved = datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(" ", "seconds")
            first, names = waiting[0], [network.name for network in waiting]
            kept.append({"split": first.split, "seed": first.seed, "networks": names, "step": step, "saved": saved})
    return kept


def _seconds_left(bank: dict[str, Any] | None, networks: list[dict[str, Any]]) -> float | None:
    """For all networks in training, at the rate of the bank that trains; None where that is not known yet."""
    if not bank or not bank["steps_per_second"]:
        return None
    left = sum(n["steps"] - n["step"] for n in networks if n["state"] == "running" and n["steps"])
    return round(left / bank["steps_per_second"] / len(bank["networks"]), 1)


def _order(network: Network) -> tuple[Any, ...]:
    place = list(TREATMENTS).index(network.treatment)
    axes = axes_order(dict(network.axes))
    return (network.split, network.seed, network.net, place > 0, axes, network.target, place, network.layer, network.name)
