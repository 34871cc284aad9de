"""Splits: the classes of a dataset, each in half A or in half B; or all of them as one task.

The labels of a half run 0..k-1 in ascending order of its class folders' names (of the class indices, for
ImageNet: there the two orders agree). A split is made in one of three ways:

    random             half of the classes at random, by the 2014 paper's generator  named random-<seed>
    man-made-natural   half A is natural, half B is man-made, as in the authors'     named man-made-natural
                       released files; their paper's text has A and B the other way round
    PATH.csv           a file with the columns class and half and one line for each   named by its stem
                       class; classes that it does not list are left out
    all                no halves: all classes are one task, T, for layers from        named all
                       elsewhere (a recipe's `source`)

Halves may have names. Inside they are A and B all the same: of the two names in a CSV file, the first by the alphabet is A.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy

from transfercli import paper
from transfercli.plan.tasks import HALVES, WHOLE, Task
from transfercli.system.errors import TransferError

LEAST = 2  # classes a half needs: with one class there is nothing to tell apart
KINDS = ("natural", "man-made")  # A and B of man-made-natural
LONGEST_NAME = 30  # of a half: it stands in titles, tables and sentences
LARGEST_SEED = 2**32 - 1  # numpy's generator takes 32 bits

UNDIVIDED = "all"  # the split that halves nothing

# What a study folder holds beside its splits: a split named so would write over it.
_RESERVED = {"figures", "results", "results.csv", "recipe", "recipe.yaml", "man-made-natural"}


@dataclass(frozen=True)
class Split:
    """Two halves of a dataset's classes; or, where they are `whole`, no halves.

    name: the split's folder in a study ("random-0"). method: "random", "man-made-natural" or the CSV file's
    name without its folder, so that a split is the same wherever the file lies. seed: None but for random.
    A, B: names of class folders in label order. names: what the two halves are called. whole: all of them, of a
    split that halves nothing.
    """

    name: str
    method: str
    seed: int | None
    A: tuple[str, ...]
    B: tuple[str, ...]
    names: tuple[str, str] = HALVES
    whole: tuple[str, ...] = ()

    def classes(self, task: str) -> tuple[str, ...]:
        """The class folders of task "A", "B" or "T" in label order; one that the split does not have is a KeyError."""
        return {one.name: one.classes for one in self.tasks}[task]

    @property
    def every(self) -> tuple[str, ...]:
        """The class folders of all tasks."""
        return tuple(name for task in self.tasks for name in task.classes)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What networks of this split learn."""
        if self.whole:
            return (Task(WHOLE, self.whole, WHOLE),)
        halves = zip(HALVES, (self.A, self.B), self.names, strict=True)
        return tuple(Task(half, classes, called) for half, classes, called in halves)

    @property
    def half_names(self) -> dict[tuple[str, str], str]:
        """(split, half) to what the half is called, where that is not its letter."""
        return {(self.name, task.name): task.called for task in self.tasks if task.called != task.name}


def method_and_seed(name: str) -> tuple[str, int | None]:
    """What a recipe's word for a split means: "random-3" -> ("random", 3); others -> (the word, None).

    Raises TransferError for a word that is neither random-<seed>, man-made-natural nor the path of a .csv
    file, and for a file whose name cannot name a split. Does not open the file.
    """
    if match := re.fullmatch(r"random-(0|[1-9][0-9]{0,18})", name):
        method, seed = "random", int(match[1])
    elif name in ("man-made-natural", UNDIVIDED) or _is_csv(name):
        method, seed = name, None
    else:
        raise TransferError(
            f"split {name!r} is not known; write random-<seed> (as random-0), man-made-natural, "
            "the path of a .csv file with the header class,half, or all"
        )
    split_name(method, seed)
    return method, seed


def check_file(word: str) -> None:
    """Raise TransferError where a recipe's word for a split names a CSV file that is missing or no table of halves.

    Whether its classes are those of the pictures only `make_split` can tell.
    """
    method, _ = method_and_seed(word)
    if _is_csv(method):
        _rows(Path(method))


def split_name(method: str, seed: int | None = None) -> str:
    """The name of a split, safe as a folder's name; the inverse of `method_and_seed` but for a file's folder.

    Raises TransferError for an unknown method, a seed outside 0..2**32-1 (random only; other methods have
    no seed and ignore it), or a file whose stem is no safe name or is taken by something else in a study.
    """
    if method == "random":
        if seed is None or not 0 <= seed <= LARGEST_SEED:
            raise TransferError(f"a random split cannot have seed {seed}; give one from 0 to {LARGEST_SEED}")
        return f"random-{seed}"
    if method in ("man-made-natural", UNDIVIDED):
        return method
    if not _is_csv(method):
        raise TransferError(
            f"split method {method!r} is not known; give random, man-made-natural, "
            "the path of a .csv file with the header class,half, or all"
        )
    stem = Path(method).stem
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", stem):
        raise TransferError(
            f"split file {method!r} cannot name a split; rename it with letters, digits, '.', '_' and '-', "
            "a letter, digit or '_' first"
        )
    # Lower case, because some file systems hold "Figures" and "figures" for one folder.
    if stem.lower() in _RESERVED or re.fullmatch(r"random-[0-9]+", stem.lower()):
        raise TransferError(
            f"split file {method!r} cannot name a split, because {stem!r} already means something else "
            "in a study; rename the file"
        )
    return stem


def random_halves(count: int, seed: int) -> tuple[list[int], list[int]]:
    """The paper's random halves of the class indices 0..count-1: (A, B), ascending; an odd class goes to B.

    The seed is passed as a list, as the authors did: RandomState(seed) would give other halves.
    With count 1000, seeds 0-3 give the paper's four splits.
    """
    random = numpy.random.RandomState([seed])
    A = sorted(random.choice(numpy.arange(count), count // 2, replace=False).tolist())
    return A, sorted(set(range(count)) - set(A))


def kind_of(name: str) -> str | None:
    """Whether a class folder is "natural" or "man-made"; None where its name does not tell.

    Told by a WordNet id of ILSVRC2012 (the authors' list), or by the prefix "natural-" or "man-made-".
    """
    prefix = next((kind for kind in KINDS if name.startswith(f"{kind}-")), None)
    return _kinds().get(name, prefix)


@cache
def _kinds() -> dict[str, str]:
    return {one.wnid: one.kind for one in paper.classes()}


def make_split(method: str, classes: Sequence[str], seed: int | None = 0) -> Split:
    """Split a dataset's classes (names of class folders, each once, in any order) in halves A and B.

    method: "random", "man-made-natural" (A is natural, B is man-made), "all" (no halves) or the path of a CSV file
    with the columns class and half and two halves of any names; classes that it does not list are in neither.
    seed: of a random split; other methods ignore it.
    Raises TransferError where `split_name` does, for a half of fewer than 2 classes, for a class of
    unknown kind, and for a file that cannot be read or does not give each class that it lists one half.
    """
    name = split_name(method, seed)
    listed = sorted(classes)
    if method == UNDIVIDED:
        if len(listed) < LEAST:
            raise TransferError(f"the pictures are of {len(listed)} class; with one there is nothing to tell apart")
        return Split(name, method, None, (), (), whole=tuple(listed))
    split_seed, names = None, HALVES
    if method == "random":
        assert seed is not None  # split_name has refused it
        in_A = set(random_halves(len(listed), seed)[0])
        halves = {one: "A" if index in in_A else "B" for index, one in enumerate(listed)}
        split_seed, remedy = seed, f"use pictures of at least {2 * LEAST} classes"
    elif method == "man-made-natural":
        halves, names = _halves_by_kind(listed), KINDS
        remedy = f"use pictures of at least {LEAST} classes of each kind, or a random split"
    else:
        halves, names = _halves_from_file(Path(method), listed)
        remedy = f"give each half at least {LEAST} classes in {method}"
        method = Path(method).name
    A, B = (tuple(one for one in listed if halves.get(one) == half) for half in names)
    for letter, half, members in zip(HALVES, names, (A, B), strict=True):
        if len(members) < LEAST:
            what = f"half {letter}" + f" ({half})" * (half != letter)
            raise TransferError(f"split {name}: {what} would have {len(members)} of {len(halves)} classes; {remedy}")
    return Split(name, method, split_seed, A, B, names)


def fault_of_names(names: Iterable[str]) -> str:
    """Why halves cannot be called so; empty for two names that differ, short and printable, and not A or B for one alone."""
    names = list(names)
    if len(set(names)) != 2:
        return f"{len(set(names))} {'half' if len(set(names)) == 1 else 'halves'} instead of 2: {_some(names)}"
    if wrong := [name for name in names if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip())]:
        return f"a half's name is 1 to {LONGEST_NAME} printable characters with no space around them: {_some(wrong)}"
    if len({*names} & {*HALVES}) == 1:
        return f"A and B are for both halves or for none: {_some(names)}"
    return ""


def _halves_by_kind(names: Sequence[str]) -> dict[str, str]:
    """Class -> its kind."""
    kinds = {name: kind_of(name) for name in names}
    if unknown := [name for name in names if kinds[name] is None]:
        raise TransferError(
            f"split man-made-natural: cannot tell the kind of {_some(unknown)}; name class folders by their "
            "ILSVRC2012 WordNet ids or natural-... and man-made-..., or list the halves in a CSV file"
        )
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _halves_from_file(path: Path, names: Sequence[str]) -> tuple[dict[str, str], tuple[str, str]]:
    """Class -> half's name, and the names of A and B, from a CSV file, checked against the dataset's; all faults at once."""
    rows = _rows(path)
    listed = Counter(name for name, _ in rows)
    halves = sorted({half for _, half in rows})
    faults = {
        "listed more than once": [name for name, count in listed.items() if count > 1],
        "not among the pictures' classes": [name for name in listed if name not in set(names)],
    }
    found = [f"{fault}: {_some(dict.fromkeys(which))}" for fault, which in faults.items() if which]
    if fault := fault_of_names(halves) if rows else "no class is listed":
        found.insert(0, fault)
    if found:
        raise TransferError(
            f"split file {path}: {'; '.join(found)}; "
            "give each class that is to take part one line, with its folder's name and its half"
        )
    A, B = halves
    return dict(rows), (A, B)


def _rows(path: Path) -> list[tuple[str, str]]:
    """The (class, half) lines of a CSV file, unchecked; blank lines are skipped, and so are further columns."""
    try:
        # "utf-8-sig" also takes the mark that spreadsheets put before the header.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError:
        raise TransferError(f"split file {path} does not exist; give a CSV file with the header class,half") from None
    except OSError as error:
        raise TransferError(
            f"split file {path} cannot be read ({error.strerror}); give a CSV file with the header class,half"
        ) from None
    except UnicodeDecodeError:
        raise TransferError(f"split file {path} is not UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise TransferError(f"split file {path} is not CSV, line {reader.line_num}: {error}; mend that line") from None
    header = rows[0][1] if rows else []
    if any(header.count(column) != 1 for column in ("class", "half")):
        raise TransferError(
            f"split file {path} begins with {','.join(header)!r}; make its first line class,half (further columns may follow)"
        )
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise TransferError(
                f"split file {path}, line {line} has {len(row)} fields, not {len(header)}: {','.join(header)}; mend that line"
            )
    name, half = header.index("class"), header.index("half")
    return [(row[name], row[half]) for _, row in rows[1:]]


def _is_csv(text: str) -> bool:
    return Path(text).suffix.lower() == ".csv"


def _some(names: Iterable[str], most: int = 5) -> str:
    """A few names for an error of one line: quoted by repr, so that a line break in a name stays in it."""
    shown = [repr(name) for name in names]
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
