"""How much memory is free: the machine's, or what is left of the container's limit where that is less."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import psutil


class _Names(NamedTuple):
    """What the kernel calls a cgroup's files: its limits, what it uses, and the file cache that it would give up first."""

    limits: tuple[str, ...]
    used: str
    cache: str


# In the second version `high` is no wall, but beyond it the kernel slows a process down until it has given memory back.
VERSIONS = {
    "cgroup": _Names(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    "cgroup2": _Names(("memory.max", "memory.high"), "memory.current", "inactive_file"),
}


_share = 1.0  # of what is free, where others take theirs


def keep_to(share: float) -> None:
    """Take this share of what is free and no more in this process, which shares the machine with others."""
    global _share
    _share = share


def free(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: of the machine's memory, and of every cgroup's that it is in.

    `root` is where proc/ and the cgroups' folders are looked for.
    """
    return int(_share * min([psutil.virtual_memory().available, *_rooms(root)]))


def _rooms(root: Path) -> Iterator[int]:
    """Bytes left in each cgroup with a limit, from the process's own upwards as far as can be seen."""
    for kind, own, mount in _own_cgroups(root):
        names = VERSIONS[kind]
        for folder in (own, *own.parents):
            try:
                limits = [(folder / name).read_text().strip() for name in names.limits if (folder / name).exists()]
                if bounds := [int(limit) for limit in limits if limit != "max"]:
                    cache = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                    used = int((folder / names.used).read_text()) - int(cache.get(names.cache, 0))
                    yield max(0, min(bounds) - used)
            except (OSError, ValueError):
                pass  # a cgroup that hides its figures; the others tell theirs
            if folder == mount:
                break


def _own_cgroups(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Version, folder and mount point of the cgroup that holds the process's memory; both versions may be mounted."""
    try:
        memberships = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        mounts = [line.partition(" - ") for line in (root / "proc/self/mountinfo").read_text().splitlines()]
    except OSError:  # no Linux
        return
    paths = {
        "cgroup2" if controllers == "" else "cgroup": path for _, controllers, path in memberships if _of_memory(controllers)
    }
    for place, _, source in mounts:
        kind, _, options = source.partition(" ")
        if kind not in paths or (kind == "cgroup" and "memory" not in options.rpartition(" ")[2].split(",")):
            continue
        shown, point = place.split(" ")[3:5]
        mount, path = root / point.lstrip("/"), PurePosixPath(paths[kind])
        # A container may see its own cgroup as the mount's root while /proc tells the whole path, or one that leads outside.
        inside = path.is_relative_to(shown) and ".." not in path.parts
        yield kind, mount / path.relative_to(shown) if inside else mount, mount


def _of_memory(controllers: str) -> bool:
    return controllers == "" or "memory" in controllers.split(",")
