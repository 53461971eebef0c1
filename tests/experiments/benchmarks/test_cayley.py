import pathlib

import pytest

from equinet.groups.cayley import cayley_graph
from experiments.benchmarks import cayley
from experiments.benchmarks.harness.race import WorkerError
from experiments.benchmarks.peers.cayley_worker import setup

SMALL = [1, 3, 6, 10, 16, 24, 29, 21, 6, 3, 1]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a case that takes no time."""
    monkeypatch.setitem(cayley.CASES, "lrx-5", ("lrx", 5, 120, 10))
    return "lrx-5"


def test_cases_state_the_order_of_their_graph() -> None:
    for family, n, order, _ in cayley.CASES.values():
        assert cayley_graph(family, n).order == order


def test_workers_of_the_peers_exist() -> None:
    folder = pathlib.Path(cayley.__file__).parent / "peers"
    assert all((folder / file).exists() for _, file, _ in cayley.PEERS.values())


def test_our_worker_finds_the_layers() -> None:
    prepared = setup({"family": "lrx", "n": 5})
    assert prepared.checks == {"layers": SMALL}
    assert prepared.step() == SMALL
    assert prepared.compile_s is not None
    assert prepared.compile_s > 0


@pytest.mark.parametrize(
    ("layers", "expected", "message"),
    [
        (SMALL[:-1], None, "got 119 states in 10 layers, expected 120 in 11"),
        ([*SMALL[:-2], 4], None, "got 120 states in 10 layers"),
        ([*SMALL[:-2], 2, 2], SMALL, "got layers"),
    ],
)
def test_wrong_layers_are_found(
    small: str, layers: list[int], expected: list[int] | None, message: str
) -> None:
    cayley.verify(small, SMALL, expected)
    with pytest.raises(ValueError, match=message):
        cayley.verify(small, layers, expected)


def test_a_missing_peer_is_a_row_that_says_so(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(library: str, case: str, expected: list[int] | None) -> None:
        if library == "equinet":
            raise WorkerError("left out of this test")
        return original(library, case, expected)

    original = cayley.start
    entry = ("no-such-environment", "cayleypy_worker.py", "bfs")
    monkeypatch.setattr(cayley, "PEERS", {"cayleypy": entry})
    monkeypatch.setattr(cayley, "start", start)
    ours, peer = cayley.measure(small, ["equinet", "cayleypy"], repeats=1)
    assert ours["error"] == "left out of this test"
    assert "not installed" in peer["error"]
    with pytest.raises(SystemExit) as stop:
        cayley.main(["--cases", "lrx-99"])
    assert stop.value.code == 2
    assert "expected some of" in capsys.readouterr().err
