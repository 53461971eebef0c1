"""Finite groups: their lists, their tables, their matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import Cyclic, Dihedral, FiniteGroup, S

GROUPS = [Cyclic(1), Cyclic(6), Dihedral(1), Dihedral(5), S(1), S(2), S(4)]
every_group = pytest.mark.parametrize("group", GROUPS, ids=str)


@every_group
def test_the_list_has_every_element_once_and_the_identity_first(group: FiniteGroup) -> None:
    elements = group.elements()
    assert len(elements) == group.order
    assert elements.dtype == np.int32
    assert not elements.flags.writeable
    assert group.contains(elements).all()
    np.testing.assert_array_equal(elements[0], group.identity())
    np.testing.assert_array_equal(group.index(elements), np.arange(group.order))
    assert group.index(elements).dtype == jnp.int32


@every_group
def test_the_generators_reach_every_element(group: FiniteGroup) -> None:
    elements = group.elements()
    moves = [group.index(group.compose(g, elements)) for g in group.discrete_generators()]
    moves = [np.asarray(move).tolist() for move in moves]
    reached, front = {0}, {0}
    while front:
        front = {move[i] for move in moves for i in front} - reached
        reached |= front
    assert len(reached) == group.order


def test_matrices_of_the_plane() -> None:
    quarter, flip = Cyclic(4).linear_part(jnp.int32(1)), Dihedral(4).linear_part(jnp.int32(4))
    np.testing.assert_array_equal(quarter, [[0, -1], [1, 0]])
    np.testing.assert_array_equal(flip, [[1, 0], [0, -1]])
    np.testing.assert_array_equal(Dihedral(4).linear_part(jnp.int32(5)), quarter @ flip)


def test_sampling_is_uniform() -> None:
    for group in (Dihedral(3), S(3)):
        counts = np.bincount(group.index(group.sample(jax.random.key(0), (6000,))), minlength=6)
        np.testing.assert_allclose(counts / 1000, 1, atol=0.15)


def test_membership() -> None:
    np.testing.assert_array_equal(Dihedral(3).contains(jnp.asarray([-1, 0, 5, 6])), [0, 1, 1, 0])
    assert not Cyclic(3).contains(jnp.asarray(1.0))


@pytest.mark.parametrize("kind", [Cyclic, Dihedral, S])
@pytest.mark.parametrize("n", [0, 2.0])
def test_bad_size_raises(kind: type, n: object) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(n\) needs an integer n >= 1, got"):
        kind(n)
