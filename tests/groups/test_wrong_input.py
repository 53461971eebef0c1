"""Matrices outside of a group: a ``ValueError``, and NaN under ``jit``."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import (
    SE,
    SL,
    SO,
    Affine,
    E,
    FullLorentz,
    GLPlus,
    Lorentz,
    MatrixLieGroup,
    O,
    OnAxes,
    S,
    Scalings,
    Similitudes,
    Sp,
    cartan,
    iwasawa,
    polar,
)

GROUPS = [O(2), O(3), SO(2), SO(3), SO(4), E(3), SE(2), SE(3), SL(3), Sp(4), Lorentz()]
GROUPS += [FullLorentz(), Affine(SL(2)), OnAxes(O(2), 3, (2, 0)), Similitudes(2), Scalings(3)]
GROUPS += [GLPlus(2)]


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_logarithms_of_matrices_outside(group: MatrixLieGroup) -> None:
    n = group.matrix_dim
    one = np.eye(n, dtype=np.float32)
    wrong = np.diag(np.arange(2.0, 2.0 + n).astype(np.float32))
    if isinstance(group, GLPlus):
        wrong[0] *= -1
    both = jnp.stack([one, wrong])
    under_jit = jax.jit(group.log_coordinates)(both)
    np.testing.assert_allclose(under_jit[0], 0, atol=1e-6)  # its neighbour changes nothing
    assert jnp.isnan(under_jit[1]).all()
    assert jnp.isnan(jax.vmap(group.log_coordinates)(both)[1]).all()
    with pytest.raises(ValueError, match=r"is not in .*under jit the result is NaN"):
        group.log_coordinates(both)
    with pytest.raises(ValueError, match="expected elements of"):
        jax.jit(group.log_coordinates)(jnp.eye(n + 1))


@pytest.mark.parametrize("decompose", [polar, cartan, iwasawa])
def test_decompositions_need_a_positive_determinant(decompose: Callable) -> None:
    both = jnp.stack([jnp.diag(jnp.asarray([2.0, 3.0])), jnp.diag(jnp.asarray([-2.0, 3.0]))])
    for factor in jax.jit(decompose)(both):
        assert jnp.isfinite(factor[0]).all()
        assert jnp.isnan(factor[1]).all()
    with pytest.raises(ValueError, match="determinant is not positive"):
        decompose(both)


def test_long_lists_of_permutations_are_not_kept() -> None:
    assert S(5).elements() is S(5).elements()
    assert S(9).elements() is not S(9).elements()
