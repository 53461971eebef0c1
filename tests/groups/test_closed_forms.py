"""Closed forms of exp, log and Jacobians: round trips, derivatives, agreement with jaxlie."""

from typing import Any

import jax
import jax.numpy as jnp
import jaxlie
import numpy as np
import pytest
from jaxtyping import Array, Float

from equinet.groups import SE, SO, E, MatrixLieGroup, O

PEERS: dict[MatrixLieGroup, Any] = {
    SO(2): jaxlie.SO2,
    SO(3): jaxlie.SO3,
    SE(2): jaxlie.SE2,
    SE(3): jaxlie.SE3,
}
ANGLES = [0.0, 1e-9, 1e-4, 0.7, 0.9999, 1.0001, 3.0, np.pi - 1e-5, np.pi - 1e-9, np.pi]

closed = pytest.mark.parametrize("group", list(PEERS), ids=str)
slow_for_motions = pytest.mark.parametrize(
    "group",
    [pytest.param(g, marks=pytest.mark.slow if isinstance(g, SE) else ()) for g in PEERS],
    ids=str,
)


def coordinates(group: MatrixLieGroup, angles: list[float]) -> Float[Array, "angles axes d"]:
    """Translations of normal size (jaxlie too puts them first), then turns by these angles."""
    rng = np.random.default_rng(0)
    n, d = group.vector_dim, len(group.lie_algebra())
    turns = n * (n - 1) // 2
    axes = rng.normal(size=(len(angles), 9, turns))
    if turns == 3:
        axes[:, :6] = np.concatenate([np.eye(3), -np.eye(3)])
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    shifts = rng.normal(size=(len(angles), 9, d - turns))
    return jnp.asarray(np.concatenate([shifts, np.array(angles)[:, None, None] * axes], -1))


@closed
def test_round_trip_from_the_identity_to_pi(group: MatrixLieGroup, x64: None) -> None:
    v = coordinates(group, ANGLES)
    g = group.exp_coordinates(v)
    assert group.contains(g, atol=1e-13).all()
    back = group.log_coordinates(g)
    np.testing.assert_allclose(group.exp_coordinates(back), g, atol=1e-12)
    np.testing.assert_allclose(back[:-2], v[:-2], atol=1e-11)  # unique up to pi - 1e-9
    angles = jnp.linalg.norm(
        back[..., -(group.vector_dim * (group.vector_dim - 1) // 2) :], axis=-1
    )
    assert (angles <= np.pi + 1e-14).all()
    np.testing.assert_allclose(group.exp(group.hat(v)), g, atol=1e-15)
    np.testing.assert_allclose(group.log(g), group.hat(back), atol=1e-15)


@closed
def test_float32_is_accurate_at_small_and_large_angles(group: MatrixLieGroup) -> None:
    with jax.enable_x64(True):
        v = coordinates(group, [0.0, 1e-4, 1.0, 3.1, 7.0, 300.0])
        exact = group.exp_coordinates(v)
    rounded = jax.jit(group.exp_coordinates)(jnp.asarray(v, jnp.float32))
    with jax.enable_x64(True):
        exact = group.exp_coordinates(jnp.asarray(rounded_input(v)))
    np.testing.assert_allclose(rounded[:-1], exact[:-1], atol=2e-6)
    np.testing.assert_allclose(rounded[-1], exact[-1], atol=5e-5)


def rounded_input(v: Float[Array, "..."]) -> np.ndarray:
    """What is left of float64 numbers in float32."""
    return np.asarray(v, np.float32).astype(np.float64)


@closed
def test_agrees_with_jaxlie(group: MatrixLieGroup, x64: None) -> None:
    v = coordinates(group, [0.1, 0.3, 1.4, 2.9])  # below, jaxlie is less exact
    theirs = exchange(PEERS[group], v)
    g = group.exp_coordinates(v)
    np.testing.assert_allclose(g, theirs["exp"], atol=1e-12)
    np.testing.assert_allclose(group.log_coordinates(g), theirs["log"], atol=1e-9)
    shape = (*v.shape, v.shape[-1])
    adjoint = np.broadcast_to(theirs["adjoint"].reshape(shape), shape)
    np.testing.assert_allclose(group.adjoint(g), adjoint, atol=1e-12)
    inverse = np.broadcast_to(theirs["jlog"].reshape(shape), shape)
    np.testing.assert_allclose(group.right_jacobian_inverse(v), inverse, atol=1e-10)
    product = group.compose(g, group.inverse(g[::-1]))
    np.testing.assert_allclose(product, theirs["product"], atol=1e-12)


def exchange(peer: Any, v: Float[Array, "... d"]) -> dict[str, Array]:
    """What jaxlie computes; its code needs JAX's default promotion of shapes and types."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        g = peer.exp(v)
        return {
            "exp": g.as_matrix(),
            "log": g.log(),
            "adjoint": g.adjoint(),
            "jlog": g.jlog(),
            "product": (g @ peer.exp(v[::-1]).inverse()).as_matrix(),
        }


@slow_for_motions
def test_derivatives_are_finite_and_right_at_the_identity_and_near_pi(
    group: MatrixLieGroup, x64: None
) -> None:
    v = coordinates(group, [0.0, 1e-9, np.pi - 1e-9, np.pi]).reshape(-1, len(group.lie_algebra()))

    def there_and_back(v: Float[Array, "d"]) -> Float[Array, "d"]:
        return group.log_coordinates(group.exp_coordinates(v))

    def everything(v: Float[Array, "d"]) -> Float[Array, ""]:
        g = group.exp_coordinates(v)
        parts = [g, group.left_jacobian(v), group.right_jacobian_inverse(v), there_and_back(v)]
        return sum((jnp.sin(part).sum() for part in parts), jnp.zeros(()))

    first = jax.jit(jax.vmap(jax.jacfwd(there_and_back)))(v)
    inside = v.shape[0] // 4 * 3  # beyond pi the logarithm goes to the other side
    one = np.broadcast_to(np.eye(v.shape[-1]), first.shape)
    np.testing.assert_allclose(first[:inside], one[:inside], atol=1e-6)
    second = jax.jit(jax.vmap(jax.jacfwd(jax.jacrev(everything))))(v)
    assert jnp.isfinite(first).all()
    assert jnp.isfinite(second).all()
    np.testing.assert_allclose(second, second.mT, atol=1e-6)


@pytest.mark.parametrize("group", [O(2), O(3), E(2), E(3)], ids=str)
def test_reflections_have_no_logarithm(group: MatrixLieGroup) -> None:
    g = jnp.asarray(group.discrete_generators()[0], jnp.float32)
    with pytest.raises(ValueError, match="without a real principal logarithm"):
        group.log(g)
    assert jnp.isnan(jax.jit(group.log_coordinates)(g)).all()
    assert jnp.isfinite(group.log(group.identity())).all()


def test_what_is_not_in_the_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not in SO\(3\) \(up to 3e-03\)"):
        SO(3).log(2 * jnp.eye(3))
    with pytest.raises(ValueError, match=r"expected elements of SE\(2\)"):
        SE(2).log_coordinates(jnp.eye(4))


@closed
def test_half_precision_goes_through_float32(group: MatrixLieGroup) -> None:
    v = jnp.asarray(coordinates(group, [0.5]), jnp.bfloat16)
    g = group.exp_coordinates(v)
    assert g.dtype == group.left_jacobian(v).dtype == jnp.bfloat16
    np.testing.assert_allclose(
        jax.jit(group.log_coordinates)(g).astype(float), v.astype(float), atol=0.1
    )
