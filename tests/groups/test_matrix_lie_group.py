"""General rules: Jacobians against numerical ones, adjoint, logarithms and their derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

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
    Sp,
)

CLOSED = [SO(2), O(3), SE(2), E(3), OnAxes(SO(3), 4, (2, 0, 1))]
GENERAL = [SO(4), SE(4), GLPlus(2), SL(3), Sp(4), Lorentz(), Affine(GLPlus(2))]

every_group = pytest.mark.parametrize("group", CLOSED + GENERAL, ids=str)


def coordinates(group: MatrixLieGroup) -> Float[Array, "batch d"]:
    """From the identity to a norm below pi."""
    directions = np.random.default_rng(0).normal(size=(4, len(group.lie_algebra())))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return jnp.asarray(np.array([0.0, 1e-9, 0.5, 2.0])[:, None] * directions)


@functools.partial(jax.jit, static_argnums=0)
def measured(group: MatrixLieGroup, v: Float[Array, "batch d"]) -> dict[str, Array]:
    def right(v: Float[Array, "d"], dv: Float[Array, "d"]) -> Float[Array, "d"]:
        back = group.exp_coordinates(-v)
        return group.log_coordinates(group.compose(back, group.exp_coordinates(v + dv)))

    zero = jnp.zeros(v.shape[-1])
    g = group.exp_coordinates(v)
    return {
        "numerical": jax.vmap(lambda v: jax.jacfwd(lambda dv: right(v, dv))(zero))(v),
        "right": group.right_jacobian(v),
        "left": group.left_jacobian(v),
        "right inverse": group.right_jacobian_inverse(v),
        "left inverse": group.left_jacobian_inverse(v),
        "adjoint": group.adjoint(g),
        "moved": group.compose(group.compose(g, group.hat(v[::-1])), group.inverse(g)),
        "log": group.log_coordinates(g),
    }


@every_group
def test_jacobians_adjoint_and_log(group: MatrixLieGroup, x64: None) -> None:
    v = coordinates(group)
    m = measured(group, v)
    one = np.broadcast_to(np.eye(v.shape[-1]), m["right"].shape)
    np.testing.assert_allclose(m["right"], m["numerical"], atol=1e-9)
    np.testing.assert_allclose(m["right"] @ m["right inverse"], one, atol=1e-12)
    np.testing.assert_allclose(m["left"] @ m["left inverse"], one, atol=1e-12)
    np.testing.assert_allclose(m["left"], m["adjoint"] @ m["right"], atol=1e-12)
    turned = jnp.einsum("bij,bj->bi", m["adjoint"], v[::-1])
    np.testing.assert_allclose(group.hat(turned), m["moved"], atol=1e-12)
    np.testing.assert_allclose(m["log"], v, atol=1e-12)


@pytest.mark.parametrize("group", [GLPlus(2), Sp(2), SO(4)], ids=str)
def test_second_derivatives_of_the_general_logarithm(group: MatrixLieGroup, x64: None) -> None:
    def there_and_back(v: Float[Array, "d"]) -> Float[Array, "d"]:
        return group.log_coordinates(group.exp_coordinates(v))

    v = coordinates(group)[jnp.asarray([0, 2])]
    first, second = jax.jit(
        jax.vmap(lambda v: (jax.jacrev(there_and_back)(v), jax.hessian(there_and_back)(v)))
    )(v)
    np.testing.assert_allclose(first, np.broadcast_to(np.eye(v.shape[-1]), first.shape), atol=1e-11)
    np.testing.assert_allclose(second, 0, atol=1e-10)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_rotations_by_pi_in_any_dimension_have_a_logarithm(n: int, x64: None) -> None:
    """Planes at pi, near it by less and more than rounding, equal ones and different ones."""
    angles = [np.pi, np.pi - 1e-12, np.pi - 1e-9, np.pi - 1e-6, 3.0, 0.5, 0.0]
    basis = np.asarray(SO(n).sample(jax.random.key(0)))
    group, rotations = SO(n), []
    for first in angles:
        for second in angles:
            for third in (np.pi, 1.0) if n == 6 else (0.0,):
                g = np.eye(n)
                for place, angle in enumerate((first, second, third)[: n // 2]):
                    i = slice(2 * place, 2 * place + 2)
                    c, s = np.cos(angle), np.sin(angle)
                    g[i, i] = [[c, -s], [s, c]]
                rotations.append(basis @ g @ basis.T)
    g = jnp.asarray(np.stack(rotations))
    log = group.log(g)
    np.testing.assert_allclose(group.exp(log), g, atol=1e-12)
    size = jnp.abs(jnp.linalg.eigvals(log)).max()
    assert size <= np.pi + 1e-7


@pytest.mark.parametrize(
    ("group", "g"),
    [
        (GLPlus(2), [[-1.0, 0.0], [0.0, -2.0]]),
        (GLPlus(3), [[-1.0, 1, 0], [0, -3, 0], [0, 0, 2]]),
        (SL(2), [[-2.0, 0.0], [0.0, -0.5]]),
        (Sp(2), [[-2.0, 0.0], [0.0, -0.5]]),
        (FullLorentz(), np.diag([1.0, -1, -1, -1])),
        (O(4), np.diag([-1.0, 1, 1, 1])),
        (E(4), np.diag([-1.0, 1, 1, 1, 1])),
    ],
    ids=str,
)
def test_elements_without_a_logarithm(group: MatrixLieGroup, g: object, x64: None) -> None:
    g = jnp.asarray(g)
    with pytest.raises(ValueError, match="without a real principal logarithm"):
        group.log(g)
    assert jnp.isnan(jax.jit(group.log_coordinates)(g)).all()


@pytest.mark.parametrize("group", [GLPlus(2), SL(2), Sp(2), Lorentz(), SO(4)], ids=str)
def test_what_is_not_in_the_group_is_refused(group: MatrixLieGroup) -> None:
    g = group.identity().at[0, 0].set(-3.0)
    with pytest.raises(ValueError, match="got a matrix that is not in"):
        group.log_coordinates(g)


def test_logarithms_in_one_batch_do_not_disturb_one_another(x64: None) -> None:
    group = GLPlus(2)
    good = group.sample(jax.random.key(0), (5,), scale=0.1) @ jnp.eye(2)
    good = group.exp(0.5 * (good - jnp.eye(2)[None]))
    both = jnp.concatenate([good, jnp.asarray([[[-1.0, 0.0], [0.0, -2.0]]])])
    mixed = jax.jit(group.log_coordinates)(both)
    np.testing.assert_allclose(group.exp_coordinates(mixed[:-1]), good, atol=1e-12)
    assert jnp.isnan(mixed[-1]).all()
