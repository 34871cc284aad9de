"""Commands that say how to go on. Each is made here, and does what it says when it is typed where it was read."""

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    from transfercli.recipe.schema import Recipe
    from transfercli.study.folder import Study

USUAL_STUDY = "results/study"
BUILDING = ("run", "split", "train-base", "sweep", "verify", "plan", "layers")  # commands that need the network itself


def usual_study() -> Path:
    """Where a study is that no command names."""
    return Path(os.environ.get("TRANSFER_STUDY") or USUAL_STUDY)


def smoke_folder(folder: Path) -> Path:
    """Where a smoke run of the study in `folder` lives, which never touches the real one."""
    return folder if folder.name.endswith("-smoke") else folder.with_name(f"{folder.name}-smoke")


def command(*words: object, study: "Study | None" = None, recipe: "Recipe | None" = None) -> str:
    """A command line for a shell, with what it needs to find the study: nothing where it is the usual one.

    Where it builds networks of `recipe`, by default the study's, it says that one's own code may run.
    """
    usual, folder = usual_study(), study and study.root
    found = [] if folder in (None, usual) else ["--smoke"] if folder == smoke_folder(usual) else ["--study", folder]
    allowed = [word for name in _own_code(study, recipe) if name not in words for word in ("--network", name)]
    return shlex.join(map(str, ["transfer", *words, *(allowed if words[0] in BUILDING else []), *found]))


def _own_code(study: "Study | None", recipe: "Recipe | None") -> list[str]:
    """What `--network` calls the networks that are one's own code."""
    if study and not recipe:
        with suppress(TransferError):  # which the command itself will tell
            recipe = study.recipe()
    specs = [one.network for one in recipe.each().values()] if recipe else []
    return [spec.name.partition("/")[2] for spec in specs if spec.library == "python"]
