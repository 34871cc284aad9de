"""Commands that say how to go on. Each is made here, and does what it says when it is typed where it was read."""

import os
import shlex
from pathlib import Path

USUAL_STUDY = "results/study"


def usual_study() -> Path:
    """Where a study is that no command names."""
    return Path(os.environ.get("TRANSFER_STUDY") or USUAL_STUDY)


def smoke_folder(folder: Path) -> Path:
    """Where a smoke run of the study in `folder` lives, which never touches the real one."""
    return folder if folder.name.endswith("-smoke") else folder.with_name(f"{folder.name}-smoke")


def command(*words: object, study: Path | None = None) -> str:
    """A command line for a shell, with what it needs to find the study: nothing where it is the usual one."""
    usual = usual_study()
    found = [] if study in (None, usual) else ["--smoke"] if study == smoke_folder(usual) else ["--study", study]
    return shlex.join(map(str, ["transfer", *words, *found]))
