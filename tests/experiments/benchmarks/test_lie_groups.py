"""The benchmark of Lie groups: rows of every part, and results that differ are refused."""

import jax
import jax.numpy as jnp
import pytest

from equinet.groups import SO, GLPlus
from experiments.benchmarks import lie_groups as benchmark

COUNT = 3


@pytest.fixture(autouse=True)
def _promotion():
    """The code of jaxlie needs JAX's default promotion of shapes and types."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_rows_against_jaxlie() -> None:
    sides = benchmark.motions(SO(3), COUNT)
    assert list(sides) == ["exp", "exp, matrix", "log", "log, matrix", "jacobian", "adjoint"]
    rows = benchmark.rows_of(SO(3), {"log": sides["log"]}, "jaxlie", repeats=1)
    found = [(row["library"], row["direction"], row["part"]) for row in rows]
    assert found == [
        ("equinet", "forward", "log"),
        ("jaxlie", "forward", "log"),
        ("equinet", "forward+backward", "log"),
        ("jaxlie", "forward+backward", "log"),
    ]
    assert rows[0]["case"] == {"group": "SO(3)", "elements": 3, "dtype": "float32"}


def test_general_rules_without_a_peer() -> None:
    sides = benchmark.general(GLPlus(3), COUNT)
    rows = benchmark.rows_of(GLPlus(3), {"exp": sides["exp"]}, None, repeats=1)
    assert [row["library"] for row in rows] == ["equinet", "equinet"]


def test_results_that_differ_are_refused() -> None:
    with pytest.raises(RuntimeError, match="exp: the results differ"):
        benchmark.compare("exp", jnp.ones((4, 3)), jnp.zeros((4, 3)))
    benchmark.compare("exp", jnp.ones((4, 3)), jnp.ones((4, 3)))
