"""Every rep is a homomorphism; the algebra of reps has a normal form."""

import copy
import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Array, Bool, Float

from equinet.groups import SE, SO, E, MatrixLieGroup, O
from equinet.reps import Irreps, Rep, Scalar, Tensor, Vector
from equinet.typing import DTypeLike, Key, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class GL(MatrixLieGroup):
    """Invertible matrices: what a user might add, and not orthogonal."""

    n: int

    @property
    def matrix_dim(self) -> int:
        return self.n

    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        return np.eye(self.n**2).reshape(self.n**2, self.n, self.n)

    def sample(
        self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None
    ) -> Float[Array, "..."]:
        noise = jax.random.normal(key, (*shape, self.n, self.n), dtype)
        one = jnp.broadcast_to(jnp.eye(self.n, dtype=noise.dtype), noise.shape)
        return one + 0.3 * noise

    def contains(self, g: Float[Array, "..."], atol: float | None = None) -> Bool[Array, "..."]:
        return jnp.abs(jnp.linalg.det(g)) > (atol or 1e-6)


V, W = Vector(O(3)), Vector(GL(2))
REPS = [
    V,
    Scalar(O(3)),
    0 * V,
    2 * V + V**2 + Scalar(O(3)),
    V * (V + Scalar(O(3))) * V,
    Irreps("2x0e+0o+1o+2x1e+3e"),
    Irreps("1o+2e", group=SO(3)),
    Vector(E(3)) * Irreps("1e+0o", group=E(3)),
    Tensor(SE(2), 2, 0),
    W * W.dual + 2 * W.dual,
    (W + W**2).dual,
]

every_rep = pytest.mark.parametrize("rep", REPS, ids=repr)


@functools.cache
def elements(group: MatrixLieGroup) -> Float[np.ndarray, "6 n n"]:
    return np.asarray(group.sample(jax.random.key(0), (6,), jnp.float64))


@functools.partial(jax.jit, static_argnums=0)
def residuals(
    rep: Rep, g: Array, h: Array, algebra: Array, x: Float[Array, "3 dim 2"]
) -> dict[str, Array]:
    group = rep.group
    matrix = rep.matrix(g)
    one, slope = jax.jvp(rep.matrix, (group.identity(),), (algebra,))
    return {
        "homomorphism": rep.matrix(group.compose(g, h)) - matrix @ rep.matrix(h),
        "identity": one - jnp.eye(rep.dim),
        "transform": rep.transform(g, x) - matrix @ x,
        "one x": rep.transform(g[:, None], x[0]) - (matrix @ x[:1])[:, None],
        "derivative": rep.lie_matrix(algebra) - slope,
        "dual": rep.dual.matrix(g) - jnp.swapaxes(rep.matrix(group.inverse(g)), -1, -2),
        "dual derivative": rep.dual.lie_matrix(algebra) + rep.lie_matrix(algebra).T,
    }


@every_rep
def test_homomorphism_and_derivative(rep: Rep, x64: None) -> None:
    g, h = elements(rep.group).reshape(2, 3, *rep.group.identity().shape)
    x = np.random.default_rng(0).normal(size=(3, rep.dim, 2))
    algebra = np.einsum(
        "d,dij->ij", np.arange(1.0, 17.0)[: len(rep.group.lie_algebra())], rep.group.lie_algebra()
    )
    errors = residuals(rep, g, h, algebra, x)
    for name, error in errors.items():
        assert error.dtype == jnp.float64
        np.testing.assert_allclose(error, 0, atol=1e-11, err_msg=name)
    assert errors["transform"].shape == (3, rep.dim, 2)
    assert errors["one x"].shape == (3, 1, rep.dim, 2)
    assert errors["homomorphism"].shape == (3, rep.dim, rep.dim)


@every_rep
def test_exponential(rep: Rep, key: jax.Array, x64: None) -> None:
    v = 0.3 * np.arange(1.0, 1 + len(rep.group.lie_algebra()))
    algebra = np.einsum("d,dij->ij", v, rep.group.lie_algebra())
    actual = rep.matrix(scipy.linalg.expm(algebra))
    if rep.dim:
        expected = scipy.linalg.expm(np.asarray(rep.lie_matrix(algebra)))
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12)


@every_rep
def test_orthogonal_reps_are_their_own_duals(rep: Rep, x64: None) -> None:
    matrix = np.asarray(rep.matrix(elements(rep.group)[0]))
    defect = np.abs(matrix @ matrix.T - np.eye(rep.dim)).max(initial=0.0)
    assert (defect < 1e-12) == rep.is_orthogonal == rep.group.is_orthogonal
    assert rep.dual.dual == rep
    assert (rep.dual == rep) == rep.is_orthogonal


def test_kronecker_order_has_the_first_factor_slowest(key: jax.Array) -> None:
    g = O(3).sample(key)
    expected = np.kron(np.eye(2), np.kron(g, g))
    np.testing.assert_allclose((2 * V**2).matrix(g), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@every_rep
def test_dtype_and_shape_of_x_are_kept(rep: Rep, dtype: DTypeLike) -> None:
    g = jnp.stack([rep.group.identity()] * 5)
    result = jax.eval_shape(rep.transform, g, jnp.ones((7, 1, rep.dim, 4), dtype))
    assert (result.dtype, result.shape) == (dtype, (7, 5, rep.dim, 4))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_])
@every_rep
def test_integers_become_floating(rep: Rep, dtype: DTypeLike) -> None:
    g = elements(rep.group)[0].astype(np.float32)
    x = (np.arange(rep.dim * 2).reshape(rep.dim, 2) % 3).astype(dtype)
    result = rep.transform(g, x)
    assert result.dtype == jnp.float32
    np.testing.assert_array_equal(result, rep.transform(g, x.astype(np.float32)))


def test_transform_in_float64_after_float32(key: jax.Array) -> None:
    rep = Irreps("2e")
    for bits, eps in ((False, 1e-5), (True, 1e-13)):
        with jax.enable_x64(bits):
            g, h = O(3).sample(key, (2,))
            x = jax.random.normal(key, (rep.dim, 3))
            twice = rep.transform(g, rep.transform(h, x))
            np.testing.assert_allclose(rep.transform(O(3).compose(g, h), x), twice, atol=eps)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (4, 1)])
def test_wrong_axis_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"acts on axis -2 of \[\.\.\., 3, channels\]"):
        V.transform(jnp.eye(3), jnp.ones(shape))


# --- the algebra ---

atoms = st.sampled_from([V, Scalar(O(3)), Irreps("0e+1o"), Irreps("1o"), Irreps(""), 0 * V])
reps = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda k, a: k * a, st.integers(0, 3), inner),
        st.builds(lambda a, k: a**k, inner, st.integers(0, 2)),
    ),
    max_leaves=5,
)


@given(reps, reps, reps, st.integers(0, 3), st.integers(0, 3))
def test_normal_form(a: Rep, b: Rep, c: Rep, j: int, k: int) -> None:
    same = [
        ((a + b) + c, a + (b + c)),
        ((a * b) * c, a * (b * c)),
        (a + a, 2 * a),
        (j * (k * a), (j * k) * a),
        (j * a + k * a, (j + k) * a),
        (a * a, a**2),
        (a**j * a**k, a ** (j + k)),
        (sum([a, b, c]), a + b + c),
        (a * 3, 3 * a),
        (Scalar(O(3)) * a, a),
        (a * Scalar(O(3)), a),
        (a + 0 * b, a),
        ((a * b).dual, a.dual * b.dual),
        ((a + b).dual, a.dual + b.dual),
        (a.dual.dual, a),
        (eval(repr(a)), a),
        (copy.deepcopy(a), a),
        (pickle.loads(pickle.dumps(a)), a),
    ]
    for left, right in same:
        assert left == right
        assert hash(left) == hash(right)
    assert (a + b).dim == a.dim + b.dim
    assert (a * b).dim == a.dim * b.dim


def test_equal_reps_compile_once() -> None:
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def f(rep: Rep, x: Float[Array, "dim channels"]) -> Float[Array, "dim channels"]:
        traces.append(rep)
        return rep.transform(rep.group.identity(), x)

    for rep in (V * V, V**2, Tensor(O(3), 2, 0), Vector(O(3)) * Vector(O(3)).dual):
        f(rep, jnp.ones((9, 2)))
    assert traces == [V**2]
    f(Irreps("1o+1o+1o"), jnp.ones((9, 2)))
    f(Irreps("3x1o"), jnp.ones((9, 2)))
    assert len(traces) == 2


def test_a_cached_hash_does_not_travel() -> None:
    rep = V**2 + Irreps("0e")
    hash(rep)
    assert set(rep.__getstate__()) == {"group", "terms"}


@pytest.mark.parametrize(
    "combine",
    [
        lambda: V + Vector(SO(3)),
        lambda: V * W,
        lambda: Irreps("1o") + Irreps("1o", group=SO(3)),
        lambda: Vector(E(3)) + V,
    ],
)
def test_mixing_groups_raises(combine: object) -> None:
    with pytest.raises(ValueError, match="cannot combine reps of"):
        combine()  # type: ignore[operator]


def test_bad_input_raises() -> None:
    for bad in (lambda: -1 * V, lambda: V**-1, lambda: Tensor(O(3), -1)):
        with pytest.raises(ValueError, match="must be >= 0"):
            bad()
    for bad in (lambda: V + 1, lambda: V * 1.5, lambda: V * "3"):
        with pytest.raises(TypeError):
            bad()
