"""Damaged and hostile files, one after another: never a traceback, never a wrong row.

    python tests/fuzz_many.py --cases 2000 --seed 1

Each case copies a small study (or a picture, a recipe, a store, a CSV file), damages one of its files and has a command read it.
The command may end with one line of error. Where `transfer verify` finds a study sound, its rows, table and weights must be
what they were.
"""

import io
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click
from kill_many import RECIPE
from PIL import Image
from safetensors.torch import load_file

from transfercli.cli import main
from transfercli.networks.start import digest
from transfercli.pictures.decode import decode
from transfercli.study.folder import Study
from transfercli.study.rows import COLUMNS
from transfercli.system.errors import TransferError

SMALL = RECIPE.replace("layers: [2, 7]", "layers: [3]\ntreatments: [AnB, RnB]").replace("steps: 12", "steps: 4")
TOLD = (*COLUMNS, "classes", "val_pictures", "recipe_digest", "split_digest", "frozen_digest_after", "weights_digest")

HOSTILE = [
    *(
        b"../",
        b"/etc/passwd",
        b"\x1b[2J\x1b[31m",
        b"\x00",
        b"\xff\xfe",
        b"\n",
        b'"',
        b"{",
        b"]",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
    ),
    *(
        b"9" * 5000,
        b"null",
        b"true",
        b"!!python/object/apply:os.system [touch ran]",
        b"&a [*a]",
        b"=1+1",
        "\u202e\u2066".encode(),
    ),
    b"cposix\nsystem\n(S'touch ran'\ntR.",
]
VALUES = [None, True, -1, 0, 1e308, 10**400, "", "../x", "\x1b[31m", "x" * 9999, [], {}, [[]], {"A": 1}, "NaN", 0.5, 7, "A", "B"]


def said(*words: str) -> tuple[int, str]:
    """A command's exit code and all that it prints. What it raises besides is a failure of the case."""
    out, code = io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(out):
        try:
            main(list(words))
        except SystemExit as end:
            code = int(end.code or 0)
    text = out.getvalue()
    assert code in (0, 1, 2, 3), f"exit code {code}"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text), f"a terminal would obey: {text!r}"
    assert code != 1 or text.splitlines()[-1].startswith("Error: "), text
    return code, text


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Cut, turned, overwritten, doubled, or with something hostile in it."""
    place = draw.randrange(len(data) + 1)
    end = min(len(data), place + draw.choice([1, 2, 8, 100]))
    match draw.randrange(7):
        case 0:
            return data[:place]
        case 1 if data:
            place = min(place, len(data) - 1)
            return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        case 2:
            return data[:place] + draw.randbytes(end - place) + data[end:]
        case 3:
            return data[:place] + data[end:]
        case 4:
            return data[:end] + data[place:]
        case 5:
            return draw.choice(HOSTILE)
    return data[:place] + draw.choice(HOSTILE) + data[end:]


def reworded(data: bytes, draw: random.Random) -> bytes:
    """JSON in which one value, at any depth, became another, or a key is gone."""
    whole = json.loads(data)
    inside: Any = whole
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return json.dumps(whole).encode()
        key = draw.choice(keys)
        if isinstance(inside[key], (dict, list)) and inside[key] and draw.random() < 0.7:
            inside = inside[key]
            continue
        if isinstance(inside, dict) and draw.random() < 0.2:
            del inside[key]
        else:
            inside[key] = draw.choice(VALUES)
        return json.dumps(whole).encode()


def spoil(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    change = reworded if path.suffix == ".json" and draw.random() < 0.5 else damaged
    path.write_bytes(change(data, draw))


# -- the cases


def study_files(whole: Path, draw: random.Random) -> None:
    """A file of a study: verify finds it out, or nothing that a row says has changed."""
    shutil.copytree(whole / "study", "study")
    files = [path for path in sorted(Path("study").rglob("*")) if path.is_file() and "pictures" not in path.parts]
    files = [path for path in files if path.name != ".lock" and "figures" not in path.parts]
    path = draw.choice(files)
    spoil(path, draw)
    code, _ = said("verify", "--study", "study", "--device", "cpu")
    found, expected = Study(Path("study")), Study(whole / "study")
    if code == 0:
        assert [{key: row[key] for key in TOLD} for row in found.rows()] == [
            {key: row[key] for key in TOLD} for row in expected.rows()
        ], f"{path}: sound, with other rows"
        for one in found.row_files():
            weights = load_file(one.parent / "weights.safetensors")
            assert digest(weights, sorted(weights)) == json.loads(one.read_text())["weights_digest"], path
    said("status", "--study", "study")


def study_rows(whole: Path, draw: random.Random) -> None:
    """A row, as the commands that only read see it."""
    shutil.copytree(whole / "study/random-0", "study/random-0")
    shutil.copy(whole / "study/recipe.yaml", "study")
    spoil(draw.choice(sorted(Path("study").glob("*/*/row.json"))), draw)
    said("status", "--study", "study")
    try:
        table = Study(Path("study")).table()
    except TransferError:
        return
    assert {*COLUMNS} <= {*table.columns} and table["top1"].astype(float).dropna().between(0, 1).all()


def splits(whole: Path, draw: random.Random) -> None:
    Path("study/random-0").mkdir(parents=True)
    shutil.copy(whole / "study/recipe.yaml", "study")
    shutil.copy(whole / "study/random-0/split.json", "study/random-0")
    spoil(draw.choice([Path("study/recipe.yaml"), Path("study/random-0/split.json")]), draw)
    said("status", "--study", "study")
    said("train-base", "--study", "study", "--device", "cpu")  # the pictures are not there
    assert not list(Path("study").rglob("row.json"))


def checkpoints(whole: Path, draw: random.Random) -> None:
    """A damaged checkpoint is passed over, or is the same to the bit."""
    from transfercli.training import checkpoints

    shutil.copytree(whole / "checkpoints", "checkpoints")
    first, last = sorted(Path("checkpoints").iterdir())
    spoil(last, draw)
    groups = checkpoints.latest(Path("checkpoints"), ["A3B"], {}, lambda text: None)
    _, saved = groups[0]
    assert saved is not None
    kept = checkpoints.load(first if saved.about["step"] == 1 else whole / "checkpoints" / last.name)
    assert digest(saved.tensors, sorted(saved.tensors)) == digest(kept.tensors, sorted(kept.tensors))


def recipe_files(whole: Path, draw: random.Random) -> None:
    shutil.copy(whole / "tiny.yaml", ".")
    spoil(Path("tiny.yaml"), draw)
    said("layers", "tiny.yaml")
    said("split", "nowhere", "--recipe", "tiny.yaml")


def split_files(whole: Path, draw: random.Random) -> None:
    names = sorted(path.name for path in (whole / "study/pictures/train").iterdir())
    Path("mine.csv").write_text("class,half\n" + "".join(f"{name},{'AB'[i % 2]}\n" for i, name in enumerate(names)))
    spoil(Path("mine.csv"), draw)
    words = ("--recipe", str(whole / "tiny.yaml"), "--study", "study", "--method", "mine.csv")
    code, _ = said("split", str(whole / "study/pictures"), *words)
    if code == 0:
        halves = Study(Path("study")).halves("mine").split
        assert sorted((*halves.A, *halves.B)) == names


def pictures(whole: Path, draw: random.Random) -> None:
    """A damaged picture has pixels, or a reason why not."""
    kind = draw.choice(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
    size = draw.randrange(1, 40), draw.randrange(1, 40)
    image = Image.frombytes("RGB", size, draw.randbytes(3 * size[0] * size[1]))
    if kind in ("JPEG", "PNG", "GIF") and draw.random() < 0.4:
        image = image.convert(draw.choice(["L", "1"] + ["CMYK"] * (kind == "JPEG")))
    exif = Image.Exif()
    exif[0x0112] = draw.randrange(1, 9)
    image.save("picture", kind, **({"exif": exif} if draw.random() < 0.5 else {}))
    spoil(Path("picture"), draw)
    try:
        assert decode("picture", 14, draw.choice(["warp", "crop"]), draw.choice(["exif", "ignore"])).shape == (3, 14, 14)
    except TransferError as error:
        assert str(error).startswith("cannot decode picture: ")


def stores(whole: Path, draw: random.Random) -> None:
    """A file of a packed store: split refuses it, or takes it as it was; pixels are checked by `transfer pack`."""
    shutil.copytree(whole / "store", "store")
    spoil(draw.choice([path for path in sorted(Path("store").iterdir()) if path.name != ".lock"]), draw)
    said("split", "store", "--recipe", str(whole / "tiny.yaml"), "--study", "study")
    code, _ = said("pack", str(whole / "study/pictures"), "--out", "store", "--recipe", str(whole / "tiny.yaml"))
    if code == 0:  # mended
        for path in sorted((whole / "store").glob("*.arrow")):
            assert path.read_bytes() == (Path("store") / path.name).read_bytes()


CASES: dict[Callable[[Path, random.Random], None], int] = {  # and how often each is drawn
    study_files: 3,
    study_rows: 3,
    splits: 3,
    checkpoints: 3,
    recipe_files: 4,
    split_files: 1,
    pictures: 6,
    stores: 2,
}


def prepare(whole: Path) -> None:
    """The study, the store and the checkpoints that are damaged later."""
    from transfercli.training import checkpoints

    (whole / "tiny.yaml").write_text(SMALL)
    with chdir(whole):
        for words in (
            ("split", "--recipe", "tiny.yaml", "--study", "study"),
            ("pack", "study/pictures", "--out", "store", "--recipe", "tiny.yaml"),
            ("train-base", "--study", "study", "--device", "cpu"),
            ("sweep", "--study", "study", "--device", "cpu"),
        ):
            code, text = said(*words)
            assert code in (0, 3), text
        tensors = {f"A3B/{name}": tensor for name, tensor in load_file("study/random-0/baseA/weights.safetensors").items()}
        for step in (1, 2):
            about = {"step": step, "networks": {"A3B": {"log": []}}}
            checkpoints.save(Path("checkpoints"), {name: tensor.float() * step for name, tensor in tensors.items()}, about)
    assert said("verify", "--study", str(whole / "study"), "--device", "cpu")[0] == 0


def fuzz(whole: Path, cases: int, seed: int) -> Counter[str]:
    """Draw so many cases; how many of each. Raises AssertionError that names the case which failed."""
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.name != ".lock"}
    made: Counter[str] = Counter()
    failed: list[str] = []
    for number in range(cases):
        draw = random.Random(f"{seed}-{number}")
        case = draw.choices(list(CASES), list(CASES.values()))[0]
        with tempfile.TemporaryDirectory() as place, chdir(place):
            try:
                case(whole, draw)
            except Exception as error:
                failed.append(f"case {number} of seed {seed}, {case.__name__}: {type(error).__name__}: {error}")
            assert not list(Path(place).rglob("ran")), "something hostile was run"
            assert os.listdir(Path(place).parent)  # and the folder is still where it was
        made[case.__name__] += 1
    assert not failed, "\n".join(failed)
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.name != ".lock"}
    return made


@click.command()
@click.option("--cases", default=1000, show_default=True, help="How many files to damage.")
@click.option("--seed", default=0, show_default=True, help="Of the damage.")
def fuzz_many(cases: int, seed: int) -> None:
    """Damage files and have commands read them."""
    began, whole = time.monotonic(), Path(tempfile.mkdtemp(prefix="fuzz-"))
    prepare(whole)
    made = fuzz(whole, cases, seed)
    shutil.rmtree(whole)
    each = ", ".join(f"{name.replace('_', ' ')} {made[name]}" for name in sorted(made))
    print(f"{made.total()} bad inputs ({each}): no traceback, no wrong row ({time.monotonic() - began:.0f} s, seed {seed})")


if __name__ == "__main__":
    fuzz_many()
