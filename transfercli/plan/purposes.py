"""What each random number of training is for: the texts from which generators are seeded (`system/randomness.py`).

They stand here, verbatim, and nowhere else: another text is another number, and every study of yesterday another study.
"""

Purpose = tuple[str | int, ...]


def weights(seed: int, split: str, role: str, parameter: str) -> Purpose:
    """A parameter's fresh draw. `role`: as `Resolved.role`, or RANDOM."""
    return (seed, split, "weights", role, parameter)


def stream(seed: int, split: str, target: str, transfer: bool) -> Purpose:
    """The batches of a target; `transfer`: those that only transfer networks see (`stream: fresh`)."""
    return (seed, split, *["transfer"] * transfer, target)


def folds(split: str, name: str) -> Purpose:
    """In which order a class's training pictures are dealt out to the folds, whatever the seed: they are disjoint."""
    return (split, "folds", name)


def amount(seed: int, split: str, name: str) -> Purpose:
    """In which order a class's training pictures are taken where not all are: so many of them hold any fewer."""
    return (seed, split, "amount", name)


def classes(seed: int, split: str, task: str) -> Purpose:
    """In which order the classes of a task are taken where not all are."""
    return (seed, split, "classes", task)


def order(stream: Purpose, epoch: int) -> Purpose:
    return (*stream, "order", epoch)


def crops(stream: Purpose, step: int) -> Purpose:
    return (*stream, "crop", step)


def dropout(stream: Purpose, module: str, step: int) -> Purpose:
    return (*stream, module, step)
