"""The versions that a study was begun with. Others may give other numbers, so they are refused until someone accepts them."""

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from importlib import metadata

import torch

import transfercli
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text, write_text

# Raised when the same recipe, split and seed give other numbers than before: when tests/test_golden.py says so. Studies that
# were begun before there was this number have it too: their numbers are those of 1.
NUMERICS = 1

FILE = "versions.json"
LIBRARIES = ("torch", "torchvision", "pillow")  # which decide numbers: arithmetic, decoding
TIMM = "timm"  # where a network is of it
DECISIVE = ("numerics", *LIBRARIES, TIMM, "precision")


def here(precision: torch.dtype, libraries: Collection[str] = ()) -> dict[str, str]:
    """What a row records of the versions that made it, and a study remembers. `libraries`: those that its networks are of."""
    versions = {name: metadata.version(name) for name in LIBRARIES[1:]}
    if TIMM in libraries:
        with suppress(metadata.PackageNotFoundError):  # which is told where a network of it is built
            versions[TIMM] = metadata.version(TIMM)
    own = {"version": transfercli.__version__, "numerics": str(NUMERICS), "torch": torch.__version__}
    return {**own, **versions, "precision": str(precision)[6:]}


def differing(before: Mapping[str, str], now: Mapping[str, str], keys: Iterable[str] = DECISIVE, to: str = "→") -> list[str]:
    """What decides numbers and is not the same, in words."""
    return [f"{key}: {before.get(key)} {to} {now.get(key)}" for key in keys if before.get(key) != now.get(key)]


def settle(study: Study, now: dict[str, str], accept: bool) -> str:
    """Compare the versions with those that the study was begun with, and remember them. Returns the changes ever accepted.

    Raises TransferError that names what changed, unless `accept`.
    """
    path = study.root / FILE
    first, accepted = begun(study)
    before, decisive = {**now, "numerics": "1", **first}, [key for key in DECISIVE if key in now]
    changed = differing(before, now, decisive)
    if changed and not accept:
        raise TransferError(
            f"the study {study.root} was begun with other versions ({'; '.join(changed)}), which may give other numbers; "
            "start a new study: --study DIR, or if it is harmless go on, and let the rows say so: --accept-change"
        )
    if changed or not path.exists() or not {*decisive} <= first.keys():  # what was not recorded is from now on
        accepted = [*accepted, *changed]
        write_text(path, json.dumps({**now, "accepted": accepted}, indent=1, ensure_ascii=False) + "\n")
    return "; ".join(accepted)


def begun(study: Study) -> tuple[dict[str, str], list[str]]:
    """The versions that versions.json holds, or else the study's first row; and the changes accepted. Raises TransferError."""
    path = study.root / FILE
    if not path.exists():
        first = next(iter(study.rows()), {})
        return {key: first[key] for key in DECISIVE if key in first}, []
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
