"""Free memory is the container's where that is less, in both versions of cgroups; pictures are counted before banks are sized."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import CPU, SPLIT, silent

from transfercli.plan.networks import bases
from transfercli.study.folder import Study
from transfercli.system import memory
from transfercli.training import bench
from transfercli.training import train as training

MACHINE = 64 * 10**9
V1 = "34 24 0:29 {root} {point} rw,nosuid shared:11 - cgroup cgroup rw,memory"
V1_OTHER = "33 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"
V2 = "30 24 0:26 {root} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))


def machine_with(root: Path, memberships: str, mounts: str, files: Mapping[str, Mapping[str, str]]) -> Path:
    """A root folder whose proc/ tells these memberships and mounts, and whose cgroups hold these files."""
    texts = {"proc/self": {"cgroup": memberships, "mountinfo": mounts}, **files}
    for folder, inside in texts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in inside.items():
            (root / folder / name).write_text(f"{text}\n")
    return root


def v2(limit: str, used: int, cache: int = 0, **more: str) -> dict[str, str]:
    stat = f"anon {used - cache}\nfile {cache}\ninactive_file {cache}\nactive_file 0"
    return {"memory.max": limit, "memory.current": str(used), "memory.stat": stat, **more}


def v1(limit: int, used: int, cache: int = 0) -> dict[str, str]:
    stat = f"cache {cache}\ninactive_file 0\ntotal_inactive_file {cache}"
    return {"memory.limit_in_bytes": str(limit), "memory.usage_in_bytes": str(used), "memory.stat": stat}


def test_without_cgroups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory.free(tmp_path) == MACHINE
    assert memory.free(machine_with(tmp_path, "0::/", "22 1 8:1 / / rw - ext4 /dev/sda1 rw", {})) == MACHINE


def test_a_container_sees_its_own_cgroup_as_the_root_of_version_2(tmp_path: Path) -> None:
    mount = V2.format(root="/", point="/sys/fs/cgroup")
    root = machine_with(tmp_path, "0::/", mount, {"sys/fs/cgroup": v2("8000000000", 3 * 10**9, 10**9)})
    assert memory.free(root) == 6 * 10**9  # file cache that nobody reads is given up at once


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (v2("max", 9 * 10**9), v2("4000000000", 10**9), 3 * 10**9),
        (v2("10000000000", 9 * 10**9), v2("4000000000", 10**9), 10**9),
        (v2("max", 9 * 10**9), v2("max", 10**9), MACHINE),
        (v2("max", 9 * 10**9), v2("max", 10**9, **{"memory.high": "3000000000"}), 2 * 10**9),
        (v2("max", 9 * 10**9), v2("1000000000", 2 * 10**9), 0),
        (v2("max", 9 * 10**9), v2("no number", 10**9), MACHINE),
    ],
)
def test_of_nested_cgroups_the_least_counts(tmp_path: Path, outer: dict[str, str], inner: dict[str, str], expected: int) -> None:
    mount = V2.format(root="/", point="/sys/fs/cgroup")
    files = {"sys/fs/cgroup/pods": outer, "sys/fs/cgroup/pods/one": inner}
    assert memory.free(machine_with(tmp_path, "0::/pods/one", mount, files)) == expected


def test_version_1_of_a_container_whose_mount_shows_its_own_cgroup(tmp_path: Path) -> None:
    mounts = f"{V1_OTHER}\n{V1.format(root='/docker/abc', point='/sys/fs/cgroup/memory')}"
    files = {"sys/fs/cgroup/memory": v1(2 * 10**9, 10**9, 4 * 10**8), "sys/fs/cgroup/cpu": v1(1, 0)}
    root = machine_with(tmp_path, "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc", mounts, files)
    assert memory.free(root) == 14 * 10**8


@pytest.mark.parametrize("path", ["/docker/abc", "/../other"])
def test_a_path_that_cannot_be_seen_counts_as_the_mounts_root(tmp_path: Path, path: str) -> None:
    mount = V1.format(root="/", point="/sys/fs/cgroup/memory")
    root = machine_with(tmp_path, f"4:memory:{path}", mount, {"sys/fs/cgroup/memory": v1(2 * 10**9, 10**9)})
    assert memory.free(root) == 10**9


def test_version_1_beside_version_2_and_without_a_limit(tmp_path: Path) -> None:
    mounts = f"{V1.format(root='/', point='/sys/fs/cgroup/memory')}\n{V2.format(root='/', point='/sys/fs/cgroup/unified')}"
    unlimited = v1(9223372036854771712, 10**9)
    files = {"sys/fs/cgroup/memory/user": unlimited, "sys/fs/cgroup/memory": unlimited, "sys/fs/cgroup/unified": {}}
    root = machine_with(tmp_path, "4:cpuacct,memory:/user\n0::/user", mounts, files)
    assert memory.free(root) == MACHINE
    (root / "sys/fs/cgroup/memory/user/memory.limit_in_bytes").write_text("5000000000\n")
    assert memory.free(root) == 4 * 10**9


def test_pictures_of_both_parts_are_in_memory_before_a_bank_is_sized(split_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    seen: list[list[int]] = []

    class Counted(bench.Pixels):
        def __init__(self, *values: object) -> None:
            super().__init__(*values)  # type: ignore[arg-type]
            loaded.append(len(self))

    def sized(*_: object) -> int:
        seen.append(sorted(loaded))
        return 9

    monkeypatch.setattr(bench, "Pixels", Counted)
    monkeypatch.setattr(bench, "bank_size", sized)
    training.train(split_study, bases([SPLIT], [0]), CPU, None, silent())
    assert seen == [[20, 20, 32, 32]] and sorted(loaded) == seen[0]
