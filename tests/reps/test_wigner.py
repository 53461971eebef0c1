"""Wigner matrices against e3nn-jax, signs included, and the exponential of the generators."""

from collections.abc import Callable

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jaxtyping import Array, Float
from scipy.spatial.transform import Rotation

from equinet.reps import clebsch_gordan, so3_generators, wigner_d, wigner_matrices

RNG = np.random.default_rng(0)
VECTORS = np.concatenate(
    [RNG.normal(size=(4, 3)), 1e-7 * RNG.normal(size=(1, 3)), np.zeros((1, 3)), np.pi * np.eye(3)]
)
ROTATIONS = Rotation.from_rotvec(VECTORS).as_matrix()


def wigner(lmax: int, rotations: Float[np.ndarray, "... 3 3"]) -> list[Float[np.ndarray, "..."]]:
    with jax.enable_x64(True):
        return [np.asarray(d) for d in jax.jit(wigner_matrices, static_argnums=0)(lmax, rotations)]


def test_equals_the_exponential_of_the_generators_to_degree_12() -> None:
    for l, matrices in enumerate(wigner(12, ROTATIONS)):
        algebra = np.einsum("na,aij->nij", VECTORS, so3_generators(l))
        np.testing.assert_allclose(matrices, scipy.linalg.expm(algebra), rtol=0, atol=1e-12)


def test_equals_e3nn_with_signs(x64: None) -> None:
    for l, (matrix,) in enumerate(wigner(3, ROTATIONS[:1])):
        expected = e3nn_jax.Irrep(l, 1).D_from_matrix(jnp.asarray(ROTATIONS[0]))
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-13)


def test_orthogonal_homomorphism_to_degree_12() -> None:
    g, h = ROTATIONS[:4], ROTATIONS[3:7]
    for of_g, of_h, of_gh in zip(wigner(12, g), wigner(12, h), wigner(12, g @ h), strict=True):
        np.testing.assert_allclose(of_g @ of_h, of_gh, rtol=0, atol=1e-13)
        gram = of_g @ of_g.swapaxes(-1, -2)
        np.testing.assert_allclose(
            gram, np.broadcast_to(np.eye(len(gram[0])), gram.shape), atol=1e-13
        )


def test_reflections_have_the_parity_of_the_spherical_harmonics() -> None:
    for l, (proper, improper) in enumerate(
        zip(wigner(6, ROTATIONS), wigner(6, -ROTATIONS), strict=True)
    ):
        np.testing.assert_allclose(improper, (-1) ** l * proper, atol=1e-13)


def test_intertwines_the_clebsch_gordan_tables() -> None:
    d = [matrices[0] for matrices in wigner(4, ROTATIONS)]
    for l1, l2, l3 in [(1, 1, 1), (2, 1, 2), (3, 2, 4), (4, 4, 3), (2, 2, 2)]:
        table = clebsch_gordan(l1, l2, l3)
        left = np.einsum("ijk,ia,jb->abk", table, d[l1], d[l2])
        right = np.einsum("kc,abc->abk", d[l3], table)
        np.testing.assert_allclose(left, right, atol=1e-13)
        wrong = np.einsum("ck,abc->abk", d[l3], table)
        assert np.abs(left - wrong).max() > 1e-2


def test_derivatives_at_singular_points_of_other_charts() -> None:
    """At the identity and at rotations by pi the first two derivatives are the generators."""
    l, coefficients = 3, np.array([0.3, -0.5, 0.8])
    rotations = Rotation.from_rotvec(np.pi * np.eye(4, 3)).as_matrix()
    direction = np.einsum("a,aij->ij", coefficients, so3_generators(1))
    expected = np.einsum("a,aij->ij", coefficients, so3_generators(l))

    def along(f: Callable[[Array], Array], g: Array) -> tuple[Array, Array]:
        return jax.jvp(f, (g,), (jnp.asarray(direction) @ g,))

    def velocity(g: Array) -> Array:
        return along(lambda g: wigner_d(l, g), g)[1]

    with jax.enable_x64(True):
        value = np.asarray(wigner_d(l, rotations))
        first, second = jax.jit(lambda g: along(velocity, g))(rotations)
    np.testing.assert_allclose(first, expected @ value, atol=1e-13)
    np.testing.assert_allclose(second, expected @ expected @ value, atol=1e-12)


def test_batch_shapes_and_dtype() -> None:
    for shape in [(), (1,), (3, 1, 2)]:
        for dtype in (jnp.bfloat16, jnp.float32):
            rotation = jnp.zeros((*shape, 3, 3), dtype)
            result = jax.eval_shape(lambda g: wigner_d(4, g), rotation)
            assert (result.shape, result.dtype) == ((*shape, 9, 9), dtype)


def test_float64_after_float32() -> None:
    wigner_d(3, ROTATIONS[0].astype(np.float32))
    with jax.enable_x64(True):
        matrix = wigner_d(3, ROTATIONS[0])
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(7), atol=1e-14)


def test_bad_input_raises() -> None:
    with pytest.raises(ValueError, match=">= 0, got -1"):
        wigner_d(-1, jnp.eye(3))
    with pytest.raises(ValueError, match=r"\[\.\.\., 3, 3\], got \(4, 4\)"):
        wigner_d(1, jnp.eye(4))
