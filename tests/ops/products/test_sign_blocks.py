"""The order of characters: signs under the rotations by pi, products of characters, round trip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.products._sign_blocks import KleinOrder, characters
from equinet.reps import Irreps, clebsch_gordan, wigner_matrices


def test_characters_are_the_signs_under_the_rotations_by_pi(x64: None) -> None:
    turns = jnp.asarray([np.diag([-1.0, 1.0, -1.0]), np.diag([1.0, -1.0, -1.0])])
    for l, matrices in enumerate(wigner_matrices(5, turns)):
        kinds = characters(Irreps([(1, (l, 1))]))
        for bit, matrix in enumerate(matrices):
            signs = 1 - 2 * ((kinds >> bit) & 1)
            np.testing.assert_allclose(matrix, np.diag(signs), atol=1e-12)


@pytest.mark.parametrize("degrees", [(1, 1, 1), (2, 3, 4), (5, 4, 3), (6, 6, 6)])
def test_couplings_multiply_characters(degrees: tuple[int, int, int]) -> None:
    first, second, third = (characters(Irreps([(1, (l, 1))])) for l in degrees)
    forbidden = (first[:, None, None] ^ second[None, :, None]) != third
    assert forbidden.mean() > 0.7
    np.testing.assert_array_equal(clebsch_gordan(*degrees)[forbidden], 0)


@pytest.mark.parametrize("bits", [0, 2])
def test_sorted_and_back(bits: int) -> None:
    rep = Irreps("2x1o+0e+3e")
    order = KleinOrder(rep, bits)
    x = jax.random.normal(jax.random.key(0), (5, rep.dim, 2))
    rows = order.sort(x)
    assert rows.shape == (5, order.classes, order.size, 2)
    np.testing.assert_array_equal(order.unsort(rows), x)
    np.testing.assert_allclose(jnp.sum(rows**2), jnp.sum(x**2), rtol=1e-6)
    spread = order.spread(np.arange(rep.dim, dtype=float) + 1)
    assert sorted(spread[spread > 0]) == list(range(1, rep.dim + 1))
