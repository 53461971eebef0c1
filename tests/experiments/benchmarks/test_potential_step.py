import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.models import Potential
from experiments.benchmarks import potential_step
from experiments.benchmarks.harness.race import WorkerError
from experiments.benchmarks.peers.force_checks import force_checks
from experiments.benchmarks.peers.jax_step import prepare

GOOD = {
    "energy_shape": [5],
    "force_shape": [135, 3],
    "edges": 3478,
    "slope_error": 1e-4,
    "gradient_norm": 0.1,
}


def test_molecules_have_the_stated_edges() -> None:
    positions = potential_step.molecules()
    assert positions.shape == (5, 27, 3)
    distances = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    distances = distances[distances > 0]
    assert np.sum(distances < potential_step.CUTOFF) == potential_step.EDGES
    # float32 must not decide whether a pair counts, nor may atoms coincide.
    assert np.min(np.abs(distances - potential_step.CUTOFF)) > 1e-4
    assert np.min(distances) > 0.9


def test_inputs_are_the_same_for_every_library() -> None:
    first, second = (potential_step.inputs_of(size) for size in ("mace", "nequix-2"))
    assert first.pop("size") == "mace"
    assert second.pop("size") == "nequix-2"
    assert first == second
    assert sorted(first["numbers"][0]) == sorted(potential_step.COMPOSITION)


def test_every_size_of_a_peer_has_one_of_ours() -> None:
    sizes = {size for _, _, own in potential_step.PEERS.values() for size in own}
    assert sizes == set(potential_step.EQUINET_SIZES)
    folder = pathlib.Path(potential_step.__file__).parent / "peers"
    assert all((folder / file).exists() for _, file, _ in potential_step.PEERS.values())


@pytest.mark.parametrize("size", list(potential_step.EQUINET_SIZES))
def test_our_sizes_can_be_built(size: str) -> None:
    sizes = potential_step.EQUINET_SIZES[size]
    model = nnx.eval_shape(lambda: Potential(("H", "C", "N", "O"), **sizes, rngs=nnx.Rngs(0)))
    leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert sum(math.prod(leaf.shape) for leaf in leaves) > 10_000


def test_our_batch_holds_the_stated_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(potential_step, "Potential", lambda elements, **options: options)
    inputs = potential_step.inputs_of("nequip-4x1")
    model, batch, edges = potential_step.equinet_case(inputs)
    assert edges == batch.edge_mask.sum() == potential_step.EDGES
    assert batch.positions.dtype == np.float32
    found = batch.positions[batch.node_mask].reshape(5, 27, 3)
    wanted = np.asarray(inputs["positions"])
    centred = wanted - wanted.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, centred, atol=1e-5)
    assert model["average_neighbours"] == pytest.approx(3478 / 135)
    assert model["layers"] == 4


def test_verify_accepts_what_is_right() -> None:
    potential_step.verify(GOOD)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("energy_shape", [1], "energy_shape: got"),
        ("force_shape", [136, 3], "force_shape: got"),
        ("edges", 3476, "edges: got 3476, expected 3478"),
        ("slope_error", 0.5, "not -dE/dx"),
        ("slope_error", math.nan, "not -dE/dx"),
        ("gradient_norm", 0.0, "gradient"),
        ("gradient_norm", math.nan, "gradient"),
    ],
)
def test_verify_refuses_what_is_wrong(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        potential_step.verify({**GOOD, name: value})


def test_a_missing_peer_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(library: str, size: str) -> None:
        if library == "equinet":
            raise WorkerError("left out of this test")
        return original(library, size)

    original = potential_step.start
    entry = ("no-such-environment", "nequix_worker.py", ("nequix-2",))
    monkeypatch.setattr(potential_step, "PEERS", {"nequix": entry})
    monkeypatch.setattr(potential_step, "start", start)
    ours, peer = potential_step.measure("nequix-2", ["equinet", "nequix"], repeats=1)
    assert ours["error"] == "left out of this test"
    assert peer["library"] == "nequix"
    assert "not installed" in peer["error"]
    potential_step.main(["--peers", "nequix", "--repeats", "1"])
    assert "not installed" in capsys.readouterr().out


def test_sizes_that_no_chosen_peer_has_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--sizes", "mase"], ["--peers", "nequix", "--sizes", "mace"]):
        with pytest.raises(SystemExit) as stop:
            potential_step.main(arguments)
        assert stop.value.code == 2
        assert "expected" in capsys.readouterr().err


def spring(parameters: dict[str, jax.Array], graph: jax.Array, positions: jax.Array) -> Any:
    def energy(positions: jax.Array) -> jax.Array:
        separations = positions[graph[0]] - positions[graph[1]]
        return parameters["k"] * jnp.sum(separations**2, axis=-1)

    return energy(positions), -jax.grad(lambda x: energy(x).sum())(positions)


def test_the_step_of_the_jax_libraries_trains() -> None:
    case = {"positions": [[[0.0, 0, 0], [1.0, 0, 0]]], "energy": [2.0], "forces": [[[0.0] * 3] * 2]}
    graph, parameters = np.array([[0], [1]]), {"k": jnp.float32(3.0)}
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam is not valid under "strict"
        prepared = prepare("numpy", parameters, graph, spring, case, edges=2)
    # loss = ((k - 2) / 2)^2 + mean of (+-2k, 0, 0)^2, so its derivative at 3 is 0.5 + 8 k / 3.
    assert prepared.checks["gradient_norm"] == pytest.approx(8.5, rel=1e-4)
    assert prepared.checks["slope_error"] < 1e-4
    assert prepared.checks["force_shape"] == [2, 3]
    assert prepared.parameters == 1
    prepared.step()
    assert float(parameters["k"]) == 3.0


def test_forces_that_are_no_gradient_are_found() -> None:
    def wrong(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sum(positions**2, axis=(0, 1))[None], -1.5 * positions

    positions = np.random.default_rng(0).normal(size=(4, 3))
    checks = force_checks(wrong, positions, edges=12, gradient_norm=1.0)
    assert checks["slope_error"] > potential_step.LARGEST_SLOPE_ERROR
    right = force_checks(lambda x: (wrong(x)[0], -2 * x), positions, edges=12, gradient_norm=1.0)
    assert right["slope_error"] < 1e-6
