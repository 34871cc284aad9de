"""`transfer pack`: a folder's pictures as a store, in the form that flags, the store that is there or a recipe ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from transfercli.pictures.folder import scan
from transfercli.pictures.packing import write_store
from transfercli.pictures.store import ABOUT, TAKEN, Form, Store, read_about
from transfercli.recipe import reading as recipes
from transfercli.recipe.default import default_recipe
from transfercli.system.errors import Contradiction, TransferError
from transfercli.system.progress import Counting, uncounted
from transfercli.system.threads import processors

QUALITY = 95  # of JPEGs where nothing else is said


@dataclass(frozen=True)
class Packed:
    """A store, whole and open, and what a recipe has to be told so that it takes these pictures."""

    store: Store
    changes: list[str]  # as --set pictures.size=64

    @property
    def bytes(self) -> int:
        """On the disk."""
        return self.store.about.index.bytes + sum(piece.bytes for piece in self.store.about.shards if piece)


def pack(
    folder: str | Path,
    out: str | Path,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    size: int | None = None,
    fit: str | None = None,
    encoding: str | None = None,
    quality: int | None = None,
    skip_unreadable: bool = False,
    counting: Counting = uncounted,
) -> Packed:
    """Pack the pictures of a folder into the store `out`: each is decoded and resized once for all studies.

    The form is as the arguments say, else as a store in `out` has it already, else as the recipe says (None: `default_recipe`).
    encoding: `raw`, the very pixels, or `jpeg`. Goes on where it was killed. Raises TransferError.
    """
    out, found = Path(out), scan(Path(folder))
    own = read_about(out).form if (out / ABOUT).exists() else None
    pictures = recipes.find(recipe or default_recipe(len(found.classes)).recipe, overrides).pictures
    wanted = pictures.model_dump(include=TAKEN)
    shape = wanted if own is None or recipe is not None or overrides else own.model_dump(include={*wanted})
    shape = shape | {key: value for key, value in (("size", size), ("fit", fit)) if value}
    encoding = encoding or (own.encoding if own else "jpeg" if quality else "raw")
    if encoding == "raw" and quality is not None:
        raise Contradiction("--quality is for JPEGs; leave it out with --encoding raw")
    if encoding == "jpeg":
        quality = quality or (own.quality if own else None) or QUALITY
    form = _form({**shape, "encoding": encoding, "quality": quality})
    store = write_store(found, out, form, processors(), skip_unreadable, counting)
    return Packed(store, form.changes(wanted))


def _form(values: Mapping[str, object]) -> Form:
    try:
        return Form.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise TransferError(f"no store is of that form: {first['loc'][0]}: {first['msg']}; see: transfer pack --help") from None
