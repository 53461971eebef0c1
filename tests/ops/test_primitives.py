"""The primitives: values, all derivatives by either mode, vmap, against plain einsum."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.primitives import contract, move_rows, multiply_matrices, outer

CASES: dict[str, tuple[Callable, Callable, tuple]] = {
    "outer": (outer, lambda x, y: jnp.einsum("ran,rbn->rabn", x, y), ((2, 3, 4), (2, 5, 4))),
    "contract_last": (
        lambda u, x: contract(u, x, -2),
        lambda u, x: jnp.einsum("rabn,rbn->ran", u, x),
        ((2, 3, 5, 4), (2, 5, 4)),
    ),
    "contract_first": (
        lambda u, x: contract(u, x, -3),
        lambda u, x: jnp.einsum("rabn,ran->rbn", u, x),
        ((2, 3, 5, 4), (2, 3, 4)),
    ),
}
for _x in (False, True):
    for _y in (False, True):
        CASES[f"matrices_{_x}_{_y}"] = (
            lambda a, b, x=_x, y=_y: multiply_matrices(a, b, transpose_x=x, transpose_y=y),
            lambda a, b, x=_x, y=_y: jnp.einsum(
                f"{'ba' if x else 'ab'}n,{'cb' if y else 'bc'}n->acn", a, b
            ),
            ((5, 3, 4) if _x else (3, 5, 4), (2, 5, 4) if _y else (5, 2, 4)),
        )


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_of_a_bilinear_primitive(name: str, x64: None) -> None:
    fast, plain, shapes = CASES[name]
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=shape)) for shape in shapes)
    np.testing.assert_allclose(jax.jit(fast)(x, y), plain(x, y), atol=1e-12)
    np.testing.assert_allclose(fast(x, y), plain(x, y), atol=1e-12)

    def derivatives(f: Callable) -> tuple:
        energy = lambda x, y: jnp.sum(jnp.sin(f(x, y)))  # noqa: E731
        second = jax.grad(lambda x, y: jnp.sum(jax.grad(energy, 1)(x, y) ** 2), (0, 1))(x, y)
        moved = jax.jvp(lambda x, y: jax.grad(energy)(x, y), (x, y), (y.sum() * x, x.sum() * y))
        return second, moved, jax.jvp(f, (x, y), (x, y))

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10),
        jax.jit(lambda: derivatives(fast))(),
        derivatives(plain),
    )
    several = jnp.stack([x, 2 * x])
    np.testing.assert_allclose(
        jax.vmap(fast, (0, None))(several, y), jax.vmap(plain, (0, None))(several, y), atol=1e-12
    )


def test_moved_rows_and_their_transpose_are_gathers(x64: None) -> None:
    index, inverse = (2, 3, 0, 3), (2, 4, 0)  # row 1 goes nowhere, places 1 and 3 are empty
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)))
    moved = move_rows(x, index, inverse)
    np.testing.assert_array_equal(moved[:, 0], x[:, 2])
    np.testing.assert_array_equal(moved[:, [1, 3]], 0)

    def pull(g: jax.Array) -> jax.Array:
        return jax.vjp(lambda x: move_rows(x, index, inverse), x)[1](g)[0]

    np.testing.assert_array_equal(pull(moved)[:, [0, 2]], x[:, [0, 2]])
    np.testing.assert_array_equal(pull(moved)[:, 1], 0)
    assert "scatter" not in jax.jit(pull).lower(moved).as_text()
    np.testing.assert_array_equal(jax.vmap(lambda x: move_rows(x, index, inverse))(x), moved)
