"""Rotations into the frame of an edge: exact everywhere, no singular direction."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.edges import Rotations, edge_rotations
from equinet.ops.edges._aligned_rows import AlignedRows, check_rotations
from equinet.reps import Irreps, wigner_table

RNG = np.random.default_rng(0)
CLOSE = [[1, 1e-9, 0], [1, -1e-9, 0.3], [1e-9, 1, 0], [1e-9, -1, 1e-9], [0, -1, 1e-3]]
VECTORS = np.concatenate([np.eye(3), -np.eye(3), CLOSE, 3 * RNG.normal(size=(12, 3))])
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def rotations(lmax: int, dtype: type = np.float64, **options: int) -> Rotations:
    with jax.enable_x64(dtype == np.float64):
        return jax.jit(lambda v: edge_rotations(lmax, v, **options))(VECTORS.astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "lmax", "atol"),
    [
        (np.float64, 10, 1e-12),
        (np.float32, 10, 5e-6),
        pytest.param(np.float32, 20, 2e-5, marks=pytest.mark.slow),
    ],
)
def test_wigner_matrices_of_rotations_onto_the_axis(dtype: type, lmax: int, atol: float) -> None:
    """Orthogonal, of determinant one, to the axis; and all degrees belong to one rotation."""
    turns = rotations(lmax, dtype)
    with jax.enable_x64(dtype == np.float64):
        found = [np.asarray(turns.degree(l), np.float64) for l in range(lmax + 1)]
    onto = np.einsum("nij,nj->ni", found[1], UNIT)
    np.testing.assert_allclose(onto, np.tile([0, 1, 0], (len(UNIT), 1)), atol=atol)
    left, _, right = np.linalg.svd(found[1])
    assert (np.linalg.det(left @ right) > 0).all()
    for l in (0, 1, 2, lmax):
        np.testing.assert_allclose(found[l], wigner_table(l, left @ right), rtol=0, atol=atol)


def test_fewer_orders_are_the_same_rows() -> None:
    whole, part = rotations(4), rotations(4, mmax=1)
    assert part.maps.shape[1] == 1 + 3 * (3 + 5 + 7 + 9)
    for l in range(1, 5):
        middle = whole.degree(l)[:, l - 1 : l + 2]
        np.testing.assert_allclose(part.degree(l), middle, rtol=0, atol=1e-14)


def test_zero_vectors_give_identities_and_no_derivatives(x64: None) -> None:
    def entries(vectors: jax.Array) -> jax.Array:
        return jnp.sum(edge_rotations(3, vectors).maps ** 2 * jnp.arange(84.0)[None])

    vectors = jnp.zeros((2, 3)).at[1].set(jnp.array([0.0, -1.0, 0.0]))
    np.testing.assert_allclose(edge_rotations(3, vectors).degree(3)[0], np.eye(7), atol=1e-13)
    gradient, hessian = jax.jit(lambda v: (jax.grad(entries)(v), jax.hessian(entries)(v)))(vectors)
    assert not np.asarray(gradient)[0].any()
    assert np.isfinite(hessian).all()


@pytest.mark.parametrize("split", [False, True])
def test_rotating_there_and_back(split: bool, x64: None) -> None:
    """The identity, and with fewer orders the projection onto these in the frame."""
    rep, turns = Irreps("0e+1e+2e+3o+1o"), rotations(4, mmax=3)
    rows = AlignedRows(rep, 3, split)
    x = jnp.asarray(RNG.normal(size=(len(VECTORS), rep.dim, 2)))
    there = rows.rotate(turns, x)
    np.testing.assert_allclose(rows.rotate_back(turns, there), x, atol=1e-13)
    parts = rows.parts(there)
    assert [len(part) for part in parts] == [5, 4, 4, 2, 2, 1, 1]
    if not split:
        column = turns.degree(2)[:, 2, :, None] * x[:, 4:9]
        np.testing.assert_allclose(parts[0][2], column.sum(1), atol=1e-13)
    fewer = AlignedRows(rep, 1, split)
    once = fewer.rotate_back(turns, fewer.rotate(turns, x))
    twice = fewer.rotate_back(turns, fewer.rotate(turns, once))
    np.testing.assert_allclose(twice, once, atol=1e-13)
    np.testing.assert_allclose(fewer.rotate(turns, once), fewer.rotate(turns, x), atol=1e-13)


def test_linear_maps_have_derivatives_of_every_mode(x64: None) -> None:
    """Against the same with plain contractions, mapped over a batch too."""
    rep, turns = Irreps("0e+1e+1o+2e"), rotations(2)
    rows = AlignedRows(rep, 2)
    x = jnp.asarray(RNG.normal(size=(2, len(VECTORS), rep.dim, 3)))
    y = jnp.asarray(RNG.normal(size=x.shape))

    def ours(maps: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        frame = Rotations(maps, 2, 2)
        z = rows.rotate(frame, x) ** 2
        return jnp.sum(rows.rotate_back(frame, z) * y)

    def plain(maps: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        frame, total = Rotations(maps, 2, 2), 0.0
        for l, start in ((0, 0), (1, 1), (1, 4), (2, 7)):
            part = slice(start, start + 2 * l + 1)
            z = jnp.einsum("eij,ejc->eic", frame.degree(l), x[:, part]) ** 2
            total += jnp.einsum("eij,eic,ejc->", frame.degree(l), z, y[:, part])
        return total

    def derived(f: Callable, maps: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        def norm(maps: jax.Array, x: jax.Array) -> jax.Array:
            return sum(jnp.sum(g**2) for g in jax.grad(f, argnums=(0, 1))(maps, x, y))

        return jax.vmap(jax.grad(norm, argnums=(0, 1)), in_axes=(None, 0))(maps, x)

    def pushed(f: Callable, maps: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.vmap(lambda x, y: jax.jvp(lambda m: f(m, x, y), (maps,), (maps**2,))[1])(x, y)

    def both(f: Callable, maps: jax.Array, x: jax.Array, y: jax.Array) -> tuple:
        return derived(f, maps, x, y[0]), pushed(f, maps, x, y)

    found = jax.jit(lambda *a: both(ours, *a))(turns.maps, x, y)
    expected = jax.jit(lambda *a: both(plain, *a))(turns.maps, x, y)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_bad_input_raises() -> None:
    with pytest.raises(ValueError, match=r"\[edges, 3\], got \(2, 4\)"):
        edge_rotations(1, jnp.ones((2, 4)))
    with pytest.raises(ValueError, match="got lmax=-1"):
        edge_rotations(-1, jnp.ones((2, 3)))
    turns = edge_rotations(1, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"degrees to 2 and orders to 1, got .* degrees to 1"):
        check_rotations(turns, 2, 2, 1)
    with pytest.raises(ValueError, match="2 rotations for 3 edges"):
        check_rotations(turns, 3, 1, 1)
    with pytest.raises(ValueError, match="must be Rotations, got tuple"):
        check_rotations((), 3, 1, 1)
