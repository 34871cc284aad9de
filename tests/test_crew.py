"""The crew of a Ray cluster: joined or refused, what a worker takes, and which machines are asked and sent to. No Ray begins."""

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from transfercli.study.folder import Study
from transfercli.system.device_names import HERE, Remote
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Wish
from transfercli.training.crew import Crew, Died, connected
from transfercli.training.worker import refuse_other

pytest.importorskip("ray")
TWO = Remote(device="cpu", workers=2, cpus=1)


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TransferError, match=r"--ray needs Ray: pip install 'transfer-study\[ray\]'"), connected(TWO):
        pass


@pytest.mark.parametrize(
    ("address", "token", "own", "mode"),
    [
        ("10.0.0.1:6379", True, None, "token"),
        ("10.0.0.1:6379", True, "disabled", "disabled"),
        ("10.0.0.1:6379", False, None, None),
        (HERE, True, None, None),  # Ray decides
    ],
)
def test_a_token_that_is_there_is_shown_to_a_cluster(
    address: str, token: bool, own: str | None, mode: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    if own:
        monkeypatch.setenv("RAY_AUTH_MODE", own)
    before = dict(os.environ, HOME=str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("secret")
    seen: list[str | None] = []

    def init(**_: Any) -> None:
        seen.append(os.environ.get("RAY_AUTH_MODE"))
        if address == HERE:
            os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does that begins
        raise ConnectionError("nobody there")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("transfercli.training.crew._refuse_deaf", lambda address: None)
    with pytest.raises(TransferError, match="nobody there"), connected(Remote(address)):
        pass
    assert seen == [mode]
    assert dict(os.environ) == before  # or the next Ray of this process asks for a token that the process does not show


def test_an_address_at_which_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TransferError) as refused, connected(Remote(address)):
        pass
    assert str(refused.value) == f"no Ray at {address} (Connection refused); begin one: ray start --head"


class Machines:
    """Ray with machines that answer at once; one with a list of answers each time with the next."""

    def __init__(self, cpus: int = 1, gpus: int = 0, **answers: Any) -> None:
        self.has, self.answers, self.sent, self.asked = {"CPU": cpus, "GPU": gpus}, answers, list[Any](), list[str]()

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"Alive": True, "Resources": self.has, "NodeID": f"{host:a<56}", "NodeManagerHostname": host} for host in self.answers
        ]

    def remote(self, **how: Any) -> Any:
        def send(*args: Any) -> Any:
            self.sent.append(how)

        def options(scheduling_strategy: Any) -> Any:
            def ask(*args: Any) -> str:
                self.asked.append(bytes.fromhex(scheduling_strategy.node_id).hex())
                return f"{self.asked[-1]} {len(self.asked) - 1}"

            return SimpleNamespace(remote=ask)

        return lambda of: SimpleNamespace(remote=send, options=options)

    def wait(self, refs: list[Any], timeout: float, num_returns: int = 1) -> tuple[list[Any], list[Any]]:
        there = [ref for ref in refs if self.get(ref) is not None]
        return there, [ref for ref in refs if ref not in there]

    def get(self, ref: str) -> Any:
        node, number = ref.split()
        found = next(answer for host, answer in self.answers.items() if f"{host:a<56}" == node)
        return found[int(number)] if isinstance(found, list) else found


def test_machines_that_give_other_numbers_are_named(tmp_path: Path) -> None:
    ray = Machines(a0={"torch": "2.11", "precision": "bfloat16"}, b0={"torch": "2.11", "precision": "float32"})
    with pytest.raises(TransferError, match=r"a0 and b0 would give other numbers \(precision: bfloat16 and float32\)"):
        Crew(ray, TWO).versions(Study(tmp_path), Wish())
    dies = Machines(a0={"torch": "2.11"}, b0=Died("the worker died"))
    crew = Crew(dies, TWO)
    assert crew.versions(Study(tmp_path), Wish()) == {"torch": "2.11"} and [*crew.look(Study(tmp_path), {})] == []
    with pytest.raises(TransferError, match="b0 cannot train: there is no study there"):
        Crew(Machines(a0={}, b0="there is no study there"), TWO).versions(Study(tmp_path), Wish())
    with pytest.raises(TransferError, match=r"has other versions than the others \(torch: 2.11 → 2.12\)"):
        refuse_other({"torch": "2.11"}, {"torch": "2.12", "version": "1"})


@pytest.mark.parametrize(
    ("nodes", "remote", "each"),
    [
        (
            [{"CPU": 64, "GPU": 8}, {"CPU": 8, "GPU": 2}, {"CPU": 4}],
            Remote(),
            (4, 10),
        ),  # as on the machine with the fewest for a GPU
        ([{"CPU": 64, "GPU": 8}], Remote(cpus=3), (3, 8)),
        ([{"CPU": 2, "GPU": 4}], Remote(), (1, 2)),
        ([{"CPU": 64, "GPU": 8}], Remote(device="cpu"), (2, 32)),
        ([{"CPU": 16}], Remote(workers=4), (4, 4)),
        ([{"CPU": 3}], Remote(), (3, 1)),
        ([{"CPU": 1}, {"CPU": 1}, {"CPU": 0}], Remote(), (1, 2)),  # none of which has two
        ([{"CPU": 8}, {"CPU": 3}], Remote(workers=3), (3, 3)),
        ([{"CPU": 2}], Remote(workers=5), (1, 2)),
    ],
)
def test_a_worker_has_its_share_of_the_processors(nodes: list[dict[str, int]], remote: Remote, each: tuple[int, int]) -> None:
    ray = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": own} for own in nodes])
    crew = Crew(ray, remote)
    assert (crew.cpus, crew.size) == each


def test_a_worker_that_fits_on_no_machine_is_refused(tmp_path: Path) -> None:
    ray = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 4}}, {"Alive": False, "Resources": {"CPU": 64}}])
    with pytest.raises(TransferError, match="no machine of the cluster has 5 processors for a worker: --cpus-per-bank"):
        Crew(ray, Remote(cpus=5)).versions(Study(tmp_path), Wish())


@pytest.mark.parametrize("answers", [[Died("it died"), {"torch": "2.11"}], [{"torch": "2.11"}, Died("it died")]])
def test_every_worker_of_this_machine_is_asked_and_one_that_dies_leaves_it_there(tmp_path: Path, answers: list[Any]) -> None:
    ray = Machines(cpus=2, a0=answers)
    crew = Crew(ray, Remote(cpus=1))
    assert crew.versions(Study(tmp_path), Wish()) == {"torch": "2.11"} and len(ray.asked) == 2
    assert [*crew.look(Study(tmp_path), {})] == [] and len(ray.asked) == 2 and crew.size == 2
    crew.send(print)
    assert ray.sent == [{"num_cpus": 1, "num_gpus": 0, "max_retries": 0}], "its process goes on with the next order"


@pytest.mark.parametrize(("remote", "gpus"), [(Remote(cpus=1), 1), (Remote("10.0.0.1:6379", cpus=1), 0)])
def test_of_gpus_and_of_clusters_each_machine_is_asked_once(tmp_path: Path, remote: Remote, gpus: int) -> None:
    ray = Machines(cpus=2, gpus=gpus, a0={"torch": "2.11"}, b0={"torch": "2.11"})
    crew = Crew(ray, remote)
    crew.versions(Study(tmp_path), Wish())
    assert len(ray.asked) == 2
    crew.send(print)
    assert ("max_calls" in ray.sent[0]) == bool(gpus), "a GPU's memory is given back with the process"


def test_while_all_that_is_there_has_still_to_answer_nothing_is_decided(tmp_path: Path) -> None:
    ray = Machines(a0={"torch": "2.11"})
    crew = Crew(ray, Remote(cpus=1))
    crew.versions(Study(tmp_path), Wish())
    del ray.answers["a0"]
    assert not crew.undecided, "what is sent waits for a machine to join"
    ray.answers["b0"] = None
    assert [*crew.look(Study(tmp_path), {})] == [] and crew.undecided
    ray.answers["b0"] = {"torch": "2.11"}
    assert [*crew.look(Study(tmp_path), {"torch": "2.11"})] == [] and not crew.undecided


def test_nothing_is_sent_to_a_machine_that_joins_before_it_answers_alike(tmp_path: Path) -> None:
    wanted = {"torch": "2.11", "precision": "bfloat16"}
    ray = Machines(a0=wanted)
    crew = Crew(ray, Remote(cpus=1))
    assert crew.versions(Study(tmp_path), Wish()) == wanted and crew.size == 1
    ray.answers |= {"b0": None, "c0": {**wanted, "torch": "2.12"}, "d0": "there is no study there"}
    assert [*crew.look(Study(tmp_path), wanted)] == [
        "nothing is trained on c0: torch: 2.11 → 2.12",
        "nothing is trained on d0: there is no study there",
    ]
    assert crew.size == 1
    crew.send(print)
    (but,) = ray.sent[0]["scheduling_strategy"].hard
    assert but.key == "ray.io/node-id" and {name[:2] for name in but.operator.values} == {"b0", "c0", "d0"}
    ray.answers["b0"] = wanted
    assert [*crew.look(Study(tmp_path), wanted)] == [] and crew.size == 2
