"""Gram-Schmidt and the generalised cross product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.linalg import cofactors, complete_axes, gram_schmidt


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_cofactors_are_perpendicular_and_span_the_volume(n: int, x64: None) -> None:
    rows = jax.random.normal(jax.random.key(n), (7, n - 1, n))
    last = jax.jit(cofactors)(rows)
    np.testing.assert_allclose(np.einsum("bij,bj->bi", rows, last), 0, atol=1e-12)
    whole = np.concatenate([rows, last[:, None]], axis=1)
    np.testing.assert_allclose(np.linalg.det(whole), (last**2).sum(-1), rtol=1e-10)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_derivatives_at_singular_minors_are_finite(n: int, x64: None) -> None:
    rows = jnp.eye(n)[: n - 1]
    for derivative in (jax.jacrev(cofactors), jax.jacrev(jax.jacrev(cofactors))):
        assert jnp.isfinite(derivative(rows)).all()


def test_nearly_parallel_vectors_need_the_second_pass() -> None:
    first, step = jax.random.normal(jax.random.key(0), (2, 20, 1, 3))
    vectors = jnp.concatenate([first, first + 1e-4 * step], axis=1)
    once, twice = (gram_schmidt(vectors, repeats=k)[0] for k in (1, 2))
    off = [np.abs((r[:, 0] * r[:, 1]).sum(-1)).max() for r in (once, twice)]
    assert off[1] < 1e-6 < off[0]
    axes = complete_axes(twice)
    np.testing.assert_allclose(axes.mT @ axes, np.broadcast_to(np.eye(3), axes.shape), atol=1e-6)
