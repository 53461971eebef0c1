"""The equivariance check: it passes what is equivariant, and fails each way of not being so."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from equinet.groups import SE, SO, E, Group, MatrixLieGroup, O
from equinet.reps import Irrep, Irreps, Scalar, Tensor, Vector, clebsch_gordan
from equinet.testing import Points, WithoutChannels, assert_equivariant, equivariance_error
from equinet.typing import DTypeLike, Key, Shape

V = Vector(O(3))


@dataclasses.dataclass(frozen=True, repr=False)
class S(Group):
    """Permutations, as index arrays: ``g[i]`` is where point i goes."""

    n: int

    @property
    def vector_dim(self) -> int:
        return self.n

    @property
    def is_orthogonal(self) -> bool:
        return True

    def identity(self, dtype: DTypeLike | None = None) -> Int[Array, "n"]:
        return jnp.arange(self.n, dtype=dtype or jnp.int32)

    def compose(self, g: Int[Array, "... n"], h: Int[Array, "... n"]) -> Int[Array, "... n"]:
        return jnp.take_along_axis(g, h, axis=-1)

    def inverse(self, g: Int[Array, "... n"]) -> Int[Array, "... n"]:
        return jnp.argsort(g, axis=-1)

    def sample(
        self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None
    ) -> Int[Array, "... n"]:
        return jnp.argsort(jax.random.uniform(key, (*shape, self.n)), axis=-1).astype(jnp.int32)

    def contains(self, g: Int[Array, "... n"], atol: float | None = None) -> Bool[Array, "..."]:
        return (jnp.sort(g, axis=-1) == jnp.arange(self.n)).all(-1)

    def linear_part(self, g: Int[Array, "... n"]) -> Float[Array, "... n n"]:
        return jnp.swapaxes(jax.nn.one_hot(g, self.n), -1, -2)

    def discrete_generators(self) -> Int[np.ndarray, "2 n"]:
        swap = np.arange(self.n)
        swap[:2] = 1, 0
        return np.stack([swap, np.roll(np.arange(self.n), 1)]).astype(np.int32)


@dataclasses.dataclass(frozen=True, repr=False)
class Scaling(MatrixLieGroup):
    """Positive multiples of the identity: not compact, so errors grow with the element."""

    n: int

    @property
    def matrix_dim(self) -> int:
        return self.n

    def lie_algebra(self) -> Float[np.ndarray, "1 n n"]:
        return np.eye(self.n)[None]

    def sample(
        self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None
    ) -> Float[Array, "..."]:
        return self.exp(self.hat(10 + jax.random.uniform(key, (*shape, 1), dtype)))

    def contains(self, g: Float[Array, "..."], atol: float | None = None) -> Bool[Array, "..."]:
        return jnp.ones(jnp.shape(g)[:-2], bool)


def cross(x: Float[Array, "... 3 c"], y: Float[Array, "... 3 c"]) -> Float[Array, "... 3 c"]:
    table = jnp.asarray(clebsch_gordan(1, 1, 1), x.dtype)
    return jnp.einsum("ijk,...ic,...jc->...kc", table, x, y, precision="highest")


def norm(x: Float[Array, "... dim c"]) -> Float[Array, "... 1 c"]:
    return (x**2).sum(-2, keepdims=True)


def test_passes_in_each_dtype(key: jax.Array) -> None:
    pseudovector = Irreps("1e")
    for dtype, bound in (("float64", 1e-13), ("float32", 1e-5), ("bfloat16", 0.1)):
        error = equivariance_error(cross, (V, V), pseudovector, key, dtype=dtype)
        assert error < bound
        assert dtype == "float64" or error > 1e-9
        assert_equivariant(cross, (V, V), pseudovector, key, dtype=dtype)


@pytest.mark.parametrize(
    ("f", "rep_in", "rep_out"),
    [
        (lambda x: x + 1e-8, V, V),
        (lambda x: jnp.roll(x, 1, axis=-2), V, V),
        (lambda x: cross(x, x[..., ::-1]), V, V),  # only the inversion tells
        (norm, V, Irreps("0o")),
        (lambda x: x**3, V, V),
        (lambda x: x[..., :3, :], Irreps("1o+1e"), Irreps("1e")),
    ],
    ids=["shift", "permuted", "pseudovector", "pseudoscalar", "cubes", "wrong irrep"],
)
def test_fails_what_is_not_equivariant(
    f: Callable[[Array], Array], rep_in: object, rep_out: object, key: jax.Array
) -> None:
    assert equivariance_error(f, rep_in, rep_out, key, dtype="float64") > 3e-9
    with pytest.raises(AssertionError, match=r"not equivariant under O\(3\): error .* > 1e-10 in"):
        assert_equivariant(f, rep_in, rep_out, key, dtype="float64")


def test_the_inversion_is_among_the_elements(key: jax.Array) -> None:
    def chiral(x: Float[Array, "... 3 2"]) -> Float[Array, "... 3 2"]:
        return cross(x, x[..., ::-1])

    with pytest.raises(AssertionError) as failure:
        assert_equivariant(chiral, V, V, key, num_samples=1, dtype="float64")
    proper = Vector(SO(3))
    assert_equivariant(chiral, proper, proper, key, dtype="float64")
    assert_equivariant(chiral, V, V, key, group=SO(3), dtype="float64")
    message = str(failure.value)
    assert "at the discrete generator" in message or "at the random element" in message
    assert "[[" in message


def test_the_error_is_the_largest_deviation_over_the_rms(key: jax.Array) -> None:
    x = jnp.asarray([[3.0], [4.0], [0.0]])

    def f(x: Float[Array, "3 1"]) -> Float[Array, "3 1"]:
        return jnp.where(x[0, 0] < 0, x + 0.01, x)

    error = equivariance_error(f, V, V, key, inputs=x, dtype="float64")
    assert error == pytest.approx(0.01 / np.sqrt(25 / 3), rel=1e-9)


def test_points_move_and_vectors_turn(key: jax.Array) -> None:
    group = E(3)
    charges = jnp.asarray([1.0, -2.0, 0.5, 3.0])

    def energy_and_forces(
        positions: Float[Array, "4 3"], charges: Float[Array, "4"]
    ) -> dict[str, Array]:
        def energy(p: Float[Array, "4 3"]) -> Float[Array, ""]:
            r2 = ((p[:, None] - p[None]) ** 2).sum(-1) + jnp.eye(4, dtype=p.dtype)
            return (charges[:, None] * charges[None] / r2).sum()

        value, gradient = jax.value_and_grad(energy)(positions)
        return {"energy": value, "forces": -gradient}

    rep_in = (Points(group), None)
    rep_out = {"energy": None, "forces": WithoutChannels(Vector(group))}
    inputs = (jax.random.normal(key, (4, 3)), charges)
    assert_equivariant(energy_and_forces, rep_in, rep_out, key, inputs=inputs, dtype="float64")
    still = (WithoutChannels(Vector(group)), None)
    for reps in ((still, rep_out), (rep_in, {**rep_out, "forces": Points(group)})):
        error = equivariance_error(energy_and_forces, *reps, key, inputs=inputs, dtype="float64")
        assert (error > 1e-3) == (reps[0] is rep_in)

    def anchored(positions: Float[Array, "4 3"]) -> Float[Array, "4 3"]:
        return positions * jnp.sum(positions**2, axis=-1, keepdims=True)

    with pytest.raises(AssertionError, match=r"E\(3\)"):
        assert_equivariant(anchored, Points(group), Points(group), key)


def test_inputs_may_be_pytrees_with_reps_as_a_prefix(key: jax.Array) -> None:
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Cloud:
        positions: object
        weights: object
        index: object

    def centre(cloud: Cloud) -> Array:
        assert cloud.index.dtype == jnp.int32
        weights = cloud.weights["w"] / cloud.weights["w"].sum()
        return (weights[:, None] * cloud.positions[cloud.index]).sum(0)

    points = Points(E(3))
    rep_in = Cloud(positions=points, weights=None, index=None)
    inputs = Cloud(jax.random.normal(key, (5, 3)), {"w": np.ones(5)}, np.arange(5, dtype=np.int32))
    assert_equivariant(centre, rep_in, points, key, inputs=inputs, dtype=jnp.float32)


def test_reps_of_other_groups_take_the_element_or_its_linear_part(key: jax.Array) -> None:
    def f(p: Float[Array, "... 2 3"]) -> Float[Array, "... 3 1"]:
        return (p[..., 0, :] - p[..., 1, :])[..., None]

    for group in (E(3), SE(3)):
        assert_equivariant(f, Points(E(3)), Irreps("1o"), key, group=group, batch=(5, 2))
    with pytest.raises(ValueError, match=r"must name one group, got E\(3\), O\(3\)"):
        equivariance_error(f, Points(E(3)), Irreps("1o"), key, batch=(5, 2))
    with pytest.raises(ValueError, match=r"elements of E\(3\) cannot act on it"):
        equivariance_error(f, Points(E(3)), Vector(SO(3)), key, group=E(3), batch=(5, 2))


def test_a_finite_group_needs_nothing_special(key: jax.Array) -> None:
    nodes = Vector(S(4))

    def deep_set(x: Float[Array, "... 4 c"]) -> Float[Array, "... 4 c"]:
        return jnp.sin(x) + x.max(-2, keepdims=True)

    assert_equivariant(deep_set, nodes, nodes, key, dtype="float64")
    assert_equivariant(lambda x: x.mean(-2, keepdims=True), nodes, Scalar(S(4)), key)
    pairs = Tensor(S(4), 1, 1)
    outer = lambda x: (x[..., :, None, :] * x[..., None, :, :]).reshape(*x.shape[:-2], 16, -1)  # noqa: E731
    assert_equivariant(outer, nodes, pairs, key)
    with pytest.raises(AssertionError, match=r"S\(4\)"):
        assert_equivariant(lambda x: jnp.cumsum(x, -2), nodes, nodes, key)


def test_errors_are_scaled_for_groups_that_are_not_orthogonal(key: jax.Array) -> None:
    rep = Vector(Scaling(2))

    def rounded(x: Float[Array, "... 2 c"]) -> Float[Array, "... 2 c"]:
        return x * (1 + 1e-9 * jnp.sin(1e6 * x))

    assert 1e-11 < equivariance_error(rounded, rep, rep, key, dtype="float64") < 1e-8


def test_nothing_tested_is_a_failure(key: jax.Array) -> None:
    with pytest.warns(UserWarning, match="zero throughout, which tests nothing"):
        assert equivariance_error(jnp.zeros_like, V, V, key) == 0
    with pytest.raises(AssertionError, match="zero throughout"):
        assert_equivariant(jnp.zeros_like, V, V, key)


def test_parameters_of_modules_are_perturbed(key: jax.Array) -> None:
    class Shifted(nnx.Module):
        """Equivariant where it starts, because its bias is zero."""

        def __init__(self) -> None:
            self.weight, self.bias = nnx.Param(jnp.ones(())), nnx.Param(jnp.zeros((3, 1)))

        def __call__(self, x: Array) -> Array:
            return self.weight[...] * x + self.bias[...][(None,) * (x.ndim - 2)]

    module = Shifted()
    assert equivariance_error(module, "1o", "1o", key) > 0.01
    assert equivariance_error(module, "1o", "1o", key, perturb=False) < 1e-5
    assert not np.any(module.bias[...])
    with pytest.raises(AssertionError, match=r"not equivariant under O\(3\)"):
        assert_equivariant(module, "1o", "1o", key)


def test_strings_are_irreps(key: jax.Array) -> None:
    assert_equivariant(cross, ("1o", "1o"), "1e", key, dtype="float64")
    assert_equivariant(cross, (V, "1o"), Irrep("1e"), key, dtype="float64")
    assert equivariance_error(cross, ("1o", "1o"), "1o", key) > 0.1
    assert_equivariant(cross, ("1o", Vector(SO(3))), "1o", key, dtype="float64")
    assert_equivariant(cross, ("1o", "1o"), "1o", key, group=SO(3), dtype="float64")


def test_not_a_number_is_a_failure(key: jax.Array) -> None:
    def f(x: Float[Array, "... 3 c"]) -> Float[Array, "... 3 c"]:
        return jnp.where(x[..., :1, :1] > 0, x, jnp.inf)

    assert np.isnan(equivariance_error(lambda x: x * jnp.nan, V, V, key))
    with pytest.raises(AssertionError, match=r"error (nan|inf)"):
        assert_equivariant(f, V, V, key)


def test_f_runs_in_the_dtype_of_its_inputs(key: jax.Array) -> None:
    seen = []

    def f(x: Array) -> Array:
        seen.append(str(x.dtype))
        return x

    equivariance_error(f, V, V, key)
    equivariance_error(f, V, V, key, inputs=jnp.ones((3, 1), jnp.bfloat16))
    equivariance_error(f, V, V, key, inputs=np.ones((3, 1)))
    with jax.enable_x64(True):
        equivariance_error(f, V, V, key)
    runs = 1 + 8 + 1
    assert seen == ["float32"] * runs + ["bfloat16"] * runs + ["float64"] * 2 * runs


def test_inputs_without_a_rep_cannot_be_drawn(key: jax.Array) -> None:
    with pytest.raises(ValueError, match="cannot draw an input for None: pass inputs"):
        equivariance_error(lambda x, y: x, (V, None), V, key)
    with pytest.raises(ValueError, match="must name one group, got none"):
        equivariance_error(lambda x: x, None, None, key, inputs=jnp.ones(3))


def test_groups_are_only_asked_for_what_every_group_has() -> None:
    assert {"sample", "contains", "compose", "inverse", "identity"} <= set(dir(Group))
