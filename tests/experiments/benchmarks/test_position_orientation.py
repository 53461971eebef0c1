"""The benchmark of positions and orientations: one network in two forms, what it counts."""

import functools
import json
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import position_orientation as benchmark
from experiments.benchmarks.harness.race import Ceilings

CEILINGS = Ceilings(gflops=1e-3, gbytes_per_s=1e-3)
FORWARD = "forward"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    """Few points; the published form has JAX's default promotion of shapes and types."""
    monkeypatch.setattr(benchmark, "CLOUDS", 2)
    monkeypatch.setattr(benchmark, "POINTS", 3)
    monkeypatch.setattr(benchmark, "SCALARS", 2)
    sizes = {"small": {"channels": 4, "basis": 3, "layers": 1}}
    monkeypatch.setattr(benchmark, "SIZES", sizes)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("orientations", [4, 6, 7], ids=["tetrahedron", "octahedron", "fibonacci"])
def test_the_published_form_is_the_same_network(orientations: int, x64: None) -> None:
    """Without antipodes, with them, and without symmetry; some points beyond the cutoff."""
    case = benchmark.case_of("small", orientations) | {"layers": 2}
    model = benchmark.network(case, "network")
    positions, scalars = (jnp.asarray(a, jnp.float64) for a in benchmark.inputs_of())
    spread = positions * 4.0
    distances = jnp.linalg.norm(spread[:, None] - spread[:, :, None], axis=-1)
    assert float(distances.max()) > benchmark.CUTOFF
    forms = jax.jit(lambda *a: (benchmark.ours(model, *a), benchmark.published_form(model, *a)))
    found, expected = forms(spread, scalars)
    assert found.dtype == jnp.float64
    assert float(jnp.std(expected)) > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-12)
    with pytest.raises(ValueError, match="another result"):
        benchmark.check(found[:, ::-1], expected)


def test_another_result_is_refused() -> None:
    ones = jnp.ones((2, 3))
    benchmark.check(ones, ones * (1 + 1e-5))
    with pytest.raises(ValueError, match=r"another result: got a relative error of 0\.5"):
        benchmark.check(ones, 2 * ones)
    with pytest.raises(ValueError, match="another result"):
        benchmark.check(ones * jnp.nan, ones)


def test_operations_against_a_count_by_hand() -> None:
    """Octahedron: 18 pairs at 3 of 6 orientations; 7 on Fibonacci's grid: at all of them."""
    nine = 9  # monomials of two invariants up to degree 3, without the constant
    basis = 2 * 9 * 3 * (nine * 4 + 4 * 3)
    layer = 2 * 9 * 3 * 3 * 4 + 6 * 6 * 6 * 4 + 6 * 6 * (4 * 16 + 16 * 4)
    case = benchmark.case_of("small", 6) | {"layers": 2}
    assert benchmark.flops_of(case, "network") == 2 * (basis + 2 * layer)
    layer = 2 * 9 * 3 * 45 * 4 + 6 * 6 * 6 * 4 + 6 * 6 * (4 * 16 + 16 * 4)
    assert benchmark.flops_of(case, "polynomials") == 2 * 2 * layer
    basis = 2 * 9 * 7 * (nine * 4 + 4 * 3)
    layer = 2 * 9 * 7 * 3 * 4 + 6 * 7 * 7 * 4 + 6 * 7 * (4 * 16 + 16 * 4)
    case = benchmark.case_of("small", 7) | {"layers": 2}
    assert benchmark.flops_of(case, "network") == 2 * (basis + 2 * layer)


def traced_flops(jaxpr: Any) -> float:
    """Operations of all matrix products, those of a loop as often as it runs."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            summed = equation.params["dimension_numbers"][0][0]
            lengths = [equation.invars[0].aval.shape[axis] for axis in summed]
            total += 2.0 * math.prod(lengths) * math.prod(equation.outvars[0].aval.shape)
        for inner in equation.params.values():
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                total += traced_flops(inner) * equation.params.get("length", 1)
    return total


@pytest.mark.parametrize("orientations", [12, 16])
@pytest.mark.parametrize("part", benchmark.PARTS)
def test_operations_are_those_of_the_traced_network(
    orientations: int, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for embedding, read-out, the spherical basis and the values at nodes, a few percent."""
    monkeypatch.setattr(benchmark, "POINTS", 27)
    large = {"small": {"channels": 32, "basis": 32, "layers": 3}}
    monkeypatch.setattr(benchmark, "SIZES", large)
    case = benchmark.case_of("small", orientations)
    traced = jax.make_jaxpr(functools.partial(benchmark.ours, benchmark.network(case, part)))
    ratio = traced_flops(traced(*benchmark.inputs_of()).jaxpr) / benchmark.flops_of(case, part)
    assert 1 <= ratio < 1.1


def test_rows_of_both_forms() -> None:
    case = benchmark.case_of("small", 6)
    rows = benchmark.measure(case, "network", benchmark.PEERS, 1, CEILINGS)
    assert [(row["library"], row["direction"]) for row in rows] == [
        (library, direction)
        for direction in benchmark.DIRECTIONS
        for library in ("equinet", "published-form")
    ]
    for row in rows:
        assert (row["benchmark"], row["part"]) == (benchmark.NAME, "network")
        assert row["case"]["orientations"] == 6
        assert row["case"] == {
            **{"size": "small", "orientations": 6, "channels": 4, "basis": 3, "layers": 1},
            **{"clouds": 2, "points": 3, "degree": 3, "dtype": "float32"},
        }
        assert min(row[k] for k in ("median_ms", "temp_mb", "peak_mb", "parameters")) > 0
    assert len({row["parameters"] for row in rows}) == 1
    forward, published, backward, _ = rows
    assert forward["floor_ms"] == pytest.approx(benchmark.flops_of(case, "network") / 1e3)
    assert backward["floor_ms"] == pytest.approx(3 * forward["floor_ms"])
    assert published["floor_ms"] is None


def test_rows_of_polynomials_without_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "DIRECTIONS", (FORWARD,))
    rows = benchmark.measure(benchmark.case_of("small", 4), "polynomials", [], 1, CEILINGS)
    assert [(row["library"], row["part"]) for row in rows] == [("equinet", "polynomials")]
    assert rows[0]["ratio_to_equinet"] == 1


def test_measure_refuses_another_result(monkeypatch: pytest.MonkeyPatch) -> None:
    right = benchmark.published_form
    monkeypatch.setattr(benchmark, "DIRECTIONS", (FORWARD,))
    monkeypatch.setattr(benchmark, "published_form", lambda *inputs: 2 * right(*inputs))
    with pytest.raises(ValueError, match="another result"):
        benchmark.measure(benchmark.case_of("small", 4), "network", benchmark.PEERS, 1, CEILINGS)


def test_more_orientations_take_more_memory() -> None:
    """What XLA holds for the moment, of the compiled forward pass: the rows' `temp_mb`."""
    held = {}
    for orientations in (6, 30):
        model = benchmark.network(benchmark.case_of("small", orientations), "network")
        made = benchmark.contender("equinet", benchmark.ours, model, FORWARD, None)
        held[orientations] = made.facts["temp_mb"]
    assert held[30] > 2 * held[6] > 0


def test_the_command_measures_every_case(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(case: dict, part: str, peers: list, repeats: int, ceilings: Ceilings) -> list:
        made = {"benchmark": benchmark.NAME, "case": case, "library": "equinet", "part": part}
        return [{**made, "direction": FORWARD, "error": f"{peers}, {repeats}"}]

    monkeypatch.setattr(benchmark, "measure", measure)
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda: CEILINGS)
    monkeypatch.setattr(benchmark, "keep_freed_memory", lambda: None)
    file = tmp_path / "rows.jsonl"
    words = ["--peers", "none", "--repeats", "3", "--json", str(file)]
    benchmark.main([*words, "--orientations", "12", "6", "12"])
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    found = [(row["case"]["orientations"], row["part"], row["error"]) for row in rows]
    expected = [(size, part, "[], 3") for size in (6, 12) for part in benchmark.PARTS]
    assert found == expected
    assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--orientations", "6", "3"], "got --orientations 3, expected 4 or more"),
        (["--sizes", "huge"], "got ['huge'], expected some of ['small']"),
        (["--parts", "kernels"], "got ['kernels'], expected some of ['network', 'polynomials']"),
        (["--peers", "ponita"], "got ['ponita'], expected some of ['published-form']"),
    ],
)
def test_the_command_refuses(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        benchmark.main(words)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
