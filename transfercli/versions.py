"""The versions that a study was begun with. Others may give other numbers, so they are refused until someone accepts them."""

import hashlib
import json
from pathlib import Path

import torch

import transfercli
from transfercli.errors import TransferError
from transfercli.files import read_text, write_text
from transfercli.study import Study

# The modules that decide a network's numbers, but for the recipe and the split, which have digests of their own.
DECISIVE = ("bank", "networks", "randomness", "schedules", "treatments", "pictures/decode", "pictures/stream")

FILE = "versions.json"


def code() -> str:
    """A digest of the code that decides a network's numbers: it tells one commit from another only where that matters."""
    sha = hashlib.sha256()
    for name in DECISIVE:
        sha.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return sha.hexdigest()[:12]


def here(precision: torch.dtype) -> dict[str, str]:
    """What a row records of the versions that made it, and a study remembers."""
    return {"version": transfercli.__version__, "code": code(), "torch": torch.__version__, "precision": str(precision)[6:]}


def settle(study: Study, now: dict[str, str], accept: bool) -> str:
    """Compare the versions with those that the study was begun with, and remember them. Returns the changes ever accepted.

    Raises TransferError that names what changed, unless `accept`.
    """
    path = study.root / FILE
    first, accepted = begun(study)
    changed = [f"{key}: {first[key]} → {value}" for key, value in now.items() if first.get(key, value) != value]
    if changed and not accept:
        raise TransferError(
            f"the study {study.root} was begun with other versions ({'; '.join(changed)}), which may give other numbers; "
            "start a new study: --study DIR, or if it is harmless go on, and let the rows say so: --accept-change"
        )
    if changed or not path.exists():
        accepted = [*accepted, *changed]
        write_text(path, json.dumps({**now, "accepted": accepted}, indent=1, ensure_ascii=False) + "\n")
    return "; ".join(accepted)


def begun(study: Study) -> tuple[dict[str, str], list[str]]:
    """The versions that versions.json holds, or else the study's first row; and the changes accepted. Raises TransferError."""
    path = study.root / FILE
    if not path.exists():
        first = next(iter(study.rows()), {})
        return {key: first[key] for key in ("version", "code", "torch", "precision") if key in first}, []
    try:
        values = json.loads(read_text(path))
        accepted = values.pop("accepted")
        if not all(isinstance(text, str) for text in (*values.values(), *accepted)):
            raise ValueError("a value is no text")
        return values, list(accepted)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransferError(
            f"{path} is damaged ({type(error).__name__}: {error}); remove it, and the rows will tell the versions"
        ) from None
