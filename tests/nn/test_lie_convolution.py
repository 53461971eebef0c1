"""Group convolutions on images: finite groups exactly, others against sums and by sampling."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet import chunks
from equinet.groups import SL, SO, Cyclic, Dihedral, GLPlus, S, Scalings, Similitudes, group_nodes
from equinet.nn import GroupConvolution, GroupKernel, Lifting, lie_convolution
from equinet.nn.group_kernels import relative_index, turned_grids
from equinet.ops.images._group_images import pixel_offsets, transformed_offsets
from equinet.reps import Images, Regular, Scalar
from equinet.testing import assert_equivariant, equivariance_error

FORMS = ("full", "separable", "depthwise")
EXACT = [Cyclic(4), Dihedral(4), Dihedral(2), Cyclic(1)]


def image(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def lift_and_convolve(group, form, ndim=2):
    lifting = Lifting(group, 2, 3, radius=1, rngs=nnx.Rngs(0))
    options = {"form": form, "self_interaction": True}
    layer = GroupConvolution(group, 3, 2, radius=1, **options, rngs=nnx.Rngs(1))

    @jax.jit
    def f(x):
        nodes = group_nodes(group, dtype=x.dtype)
        return layer(lifting(x, nodes), nodes)

    return f


@pytest.mark.parametrize("group", EXACT, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_symmetries_of_the_grid_are_exact(group, form, key):
    f = lift_and_convolve(group, form)
    reps = Images(Scalar(group)), Images(Regular(group))
    x = image((2, 7, 7, 1, 2))
    assert_equivariant(f, *reps, key, inputs=x, dtype=jnp.float64, atol=1e-12)


def test_axes_of_space_are_exchanged_exactly(key):
    group = S(3)
    f = lift_and_convolve(group, "separable")
    reps = Images(Scalar(group), 3), Images(Regular(group), 3)
    x = image((1, 4, 4, 4, 1, 2))
    assert_equivariant(f, *reps, key, inputs=x, dtype=jnp.float64, atol=1e-12)


def test_controls_that_must_fail(key):
    """Wrong groups: reflections of a p4 layer, a feature read as scalars, turns by 45 degrees."""
    x = image((1, 7, 7, 1, 2))
    error = functools.partial(equivariance_error, key=key, inputs=x, dtype=jnp.float64)
    p4 = lift_and_convolve(Cyclic(4), "full")
    assert error(p4, Images(Scalar(Cyclic(4))), Images(4 * Scalar(Cyclic(4)))) > 0.1
    mirrored = lambda x: p4(x).mean(-2, keepdims=True)  # noqa: E731
    assert error(mirrored, Images(Scalar(Dihedral(4))), Images(Scalar(Dihedral(4)))) > 0.1
    c8 = lift_and_convolve(Cyclic(8), "full")
    assert error(c8, Images(Scalar(Cyclic(8))), Images(Regular(Cyclic(8)))) > 0.01


@pytest.mark.parametrize("group", [GLPlus(2), SO(2), Cyclic(4)], ids=str)
def test_translations_are_exact(group, key, x64):
    lifting = Lifting(group, 1, 2, radius=1, rngs=nnx.Rngs(0))
    layer = GroupConvolution(group, 2, 2, radius=1, rngs=nnx.Rngs(1))
    nodes = group_nodes(group, key, None if isinstance(group, Cyclic) else 4)
    x = np.zeros((1, 15, 15, 1, 1))
    x[:, 5:8, 5:8] = image((1, 3, 3, 1, 1))
    f = jax.jit(lambda x: layer(lifting(x, nodes), nodes))
    moved = np.roll(np.asarray(f(x)), (3, 2), (1, 2))
    np.testing.assert_allclose(f(np.roll(x, (3, 2), (1, 2))), moved, atol=1e-12)
    assert np.abs(moved).max() > 1e-3


def naive(layer, x, nodes):
    """The sum over j and y, written out."""
    joint = np.asarray(layer.joint(nodes))
    joint = joint.reshape(*joint.shape[:-1], layer.channels_in, layer.channels_out)
    joint = joint / (layer.joint.size(1.0) * np.sqrt(layer.channels_in))
    half = (joint.shape[2] - 1) // 2
    wide = np.pad(np.asarray(x), ((0, 0), (half, half), (half, half), (0, 0), (0, 0)))
    det = np.linalg.det(np.asarray(nodes.elements))
    measure = np.asarray(nodes.weights) / (np.abs(det) * layer.mass)
    height, width = x.shape[1:3]
    y = np.zeros((*x.shape[:-1], layer.channels_out))
    for i, j in itertools.product(range(len(det)), repeat=2):
        for a, b in itertools.product(range(2 * half + 1), repeat=2):
            part = measure[j] * wide[:, a : a + height, b : b + width, j]
            y[..., i, :] += part @ joint[i, j, a, b]
    return y


@pytest.mark.parametrize("group", [GLPlus(2), Dihedral(3)], ids=str)
def test_the_full_form_is_the_sum_that_it_says(group, key, x64):
    options = {"radius": 1.0, "form": "full", "support": 0.8}
    layer = GroupConvolution(group, 2, 3, **options, rngs=nnx.Rngs(0))
    nodes = group_nodes(group, key, None if isinstance(group, Dihedral) else 3)
    x = jnp.asarray(image((1, 5, 6, len(nodes.weights), 2)))
    np.testing.assert_allclose(layer(x, nodes), naive(layer, x, nodes), atol=1e-10)


@pytest.mark.parametrize("form", ["separable", "depthwise"])
def test_other_forms_are_full_ones_with_kernels_that_factorise(form, key, x64):
    group = SL(2)
    layer = GroupConvolution(group, 2, 3, radius=1.0, form=form, rngs=nnx.Rngs(0))
    nodes = group_nodes(group, key, 4)
    x = jnp.asarray(image((1, 5, 5, 4, 2)))
    a, b = np.asarray(layer.spatial(nodes)), np.asarray(layer.relative(nodes))
    if form == "separable":
        b = b.reshape(4, 4, 2, 3)
    else:
        b = b[..., None] * np.asarray(layer.mixing[...], np.float64)
    joint = np.einsum("iuvd,ijcd->ijuvcd", a, b).reshape(4, 4, 3, 3, 6)
    whole = GroupConvolution(group, 2, 3, radius=1.0, form="full", rngs=nnx.Rngs(0))

    class Product:
        size = layer.spatial.size

        def __call__(self, nodes):
            return joint

    reference = type("Reference", (), dict(vars(whole)))()
    reference.joint, reference.mass = Product(), layer.mass
    np.testing.assert_allclose(layer(x, nodes), naive(reference, x, nodes), atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_self_interaction_is_a_kernel_at_the_identity(form, key, x64):
    """It adds what one sample alone would, without a weight; and it is where the output is."""
    group = GLPlus(2)
    options = {"radius": 1.0, "form": form, "self_interaction": True}
    layer = GroupConvolution(group, 2, 3, **options, rngs=nnx.Rngs(0))
    nodes = group_nodes(group, key, 2)
    x = jnp.asarray(image((1, 5, 5, 2, 2)))
    silent = nodes._replace(weights=jnp.zeros(2))
    own = layer(x, silent)
    still = x.at[..., 1, :].set(0.0)
    np.testing.assert_allclose(layer(still, silent)[..., 0, :], own[..., 0, :], atol=1e-12)
    assert np.abs(layer(still, silent)[..., 1, :]).max() == 0
    with pytest.raises(ValueError, match="self_interaction"):
        layer(x, nodes, nodes.elements)


def test_chunks_change_nothing(key, x64, monkeypatch):
    layer = GroupConvolution(GLPlus(2), 2, 3, radius=1.0, form="full", rngs=nnx.Rngs(0))
    nodes = group_nodes(GLPlus(2), key, 5)
    x = jnp.asarray(image((1, 5, 5, 5, 2)))

    def value_and_slope():
        return jax.jit(jax.value_and_grad(lambda x: jnp.sum(layer(x, nodes) ** 2)))(x)

    whole, slope = value_and_slope()
    monkeypatch.setattr(lie_convolution, "rows_per_chunk", lambda *_: 2)
    parts, other = value_and_slope()
    np.testing.assert_allclose(parts, whole)
    np.testing.assert_allclose(other, slope, atol=1e-12)
    assert chunks.rows_per_chunk(5, 2**30) == 1


def blob(a):
    """A smooth image, moved by a: f(a^-1 y) of a function of which every point is known."""
    places = pixel_offsets(10, 2) @ np.linalg.inv(a).T
    x, y = places[..., 0], places[..., 1]
    value = np.exp(-((x - 1) ** 2 + 2 * (y + 0.5) ** 2) / 14) * (1 + 0.3 * x)
    return jnp.asarray(value[None, ..., None, None])


@pytest.mark.parametrize("group", [GLPlus(2), SL(2), SO(2), Similitudes(2), Scalings(2)], ids=str)
def test_lifting_commutes_with_the_group(group, x64):
    """At the element a h of the moved image: up to sums over pixels in place of integrals."""
    layer = Lifting(group, 1, 3, radius=4.0, half_width=6, frequency=1.0, rngs=nnx.Rngs(0))
    a = group.exp(group.hat(0.12 * jnp.arange(1.0, len(group.lie_algebra()) + 1)))
    h = group_nodes(group, jax.random.key(2), 3, scale=0.2)
    plain = layer(blob(np.eye(2)), h)[:, 10, 10]
    moved = layer(blob(np.asarray(a)), h._replace(elements=a @ h.elements))[:, 10, 10]
    still = layer(blob(np.eye(2)), h._replace(elements=a @ h.elements))[:, 10, 10]
    size = np.sqrt(np.mean(np.asarray(plain) ** 2))
    assert np.abs(np.asarray(moved - plain)).max() / size < 5e-3
    assert np.abs(np.asarray(still - plain)).max() / size > 2e-2


def test_the_error_of_sampling_falls(x64):
    """Lifting and convolution of a moved image at a moved element: as the root of N, or faster."""
    group = SL(2)
    options = {"radius": 3.0, "half_width": 5, "frequency": 1.0}
    lifting = Lifting(group, 1, 3, **options, rngs=nnx.Rngs(0))
    layer = GroupConvolution(group, 3, 2, support=0.5, scale=1.0, **options, rngs=nnx.Rngs(1))
    a = group.exp(group.hat(jnp.asarray([0.1, 0.05, 0.1])))
    at = group.identity()[None]

    @functools.partial(jax.jit, static_argnums=0)
    def error(count, key):
        first, second = jax.random.split(key)

        def value(element, key):
            nodes = group_nodes(group, key, count, scale=1.0, points="random")
            x = lifting(blob_at(element), nodes)
            return layer(x, nodes, element @ at)[0, 10, 10, 0]

        plain, moved = value(jnp.eye(2), first), value(a, second)
        return jnp.mean((plain - moved) ** 2), jnp.mean(plain**2)

    def blob_at(element):
        return jnp.where(element[0, 0] == 1, blob(np.eye(2)), blob(np.asarray(a)))

    keys = jax.random.split(jax.random.key(0), 12)
    found = [np.mean([error(count, key) for key in keys], axis=0) for count in (8, 128)]
    errors = [np.sqrt(square) for square, _ in found]
    assert errors[1] < 0.45 * errors[0]
    assert errors[1] < 0.5 * np.sqrt(found[1][1])


def test_kernels(key, x64):
    """Tables: variance one, permuted by quarter turns; relative elements; compact support."""
    grids = turned_grids(Dihedral(4), 2)
    assert set(np.unique(grids)) == {0.0, 1.0}
    disc = turned_grids(Cyclic(8), 2)
    assert disc[0].sum() == 21
    assert disc.sum(-1).max() <= 1 + 1e-12
    index = relative_index(Dihedral(3))
    group = Dihedral(3)
    assert all(
        int(group.compose(i, index[i, j])) == j for i, j in itertools.product(range(6), repeat=2)
    )
    kernel = GroupKernel(
        GLPlus(2), 500, radius=2.0, half_width=3, relative=True, support=0.7, rngs=nnx.Rngs(0)
    )
    nodes = group_nodes(GLPlus(2), key, 6, scale=0.6)
    values = np.asarray(kernel(nodes))
    assert values.shape == (6, 6, 7, 7, 500)
    assert (values == 0).all(-1).any()
    np.testing.assert_allclose(values[range(6), range(6), 3, 3].std(), 1, rtol=0.25)
    np.testing.assert_allclose(kernel(nodes, nodes.elements[1:3]), values[1:3], atol=1e-12)


@pytest.mark.parametrize("group", [GLPlus(2), SO(3)], ids=str)
def test_kernels_of_splines(group, key, x64):
    """Moved with the element, smooth, of compact support and variance one at the start."""
    kernel = GroupKernel(group, 2000, radius=3.0, half_width=4, basis="splines", rngs=nnx.Rngs(0))
    nodes = group_nodes(group, key, 3, scale=0.2)
    values = np.asarray(kernel(nodes))
    places = np.asarray(transformed_offsets(nodes.elements, 4))
    distance = np.linalg.norm(places, axis=-1)
    assert (values[distance > 3 + 1e-9] == 0).all()
    inner = distance < 1.5
    sizes = values[inner].std(-1) / (1 - distance[inner] ** 2 / 9) ** 2
    assert 0.88 < sizes.min() < sizes.max() < 1.12
    table = np.asarray(kernel.splines[...])
    middle = (slice(None), *[4] * group.vector_dim)
    ones = np.array([1, 4, 1]) / 6
    weights = functools.reduce(np.multiply.outer, [ones] * group.vector_dim)
    side = table.reshape(*[7] * group.vector_dim, -1)
    near = side[(slice(2, 5),) * group.vector_dim]
    expected = np.tensordot(weights, near, group.vector_dim) * (315 / 151) ** (group.vector_dim / 2)
    np.testing.assert_allclose(values[middle], np.broadcast_to(expected, (3, 2000)), atol=1e-12)


def test_splines_are_for_places_alone():
    for words in ({"relative": True, "radius": 2.0}, {"relative": True}):
        with pytest.raises(ValueError, match="places alone"):
            GroupKernel(SO(2), 2, basis="splines", **words, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="places alone"):
        GroupConvolution(SO(2), 2, 2, radius=2.0, form="full", basis="splines", rngs=nnx.Rngs(0))


@pytest.mark.parametrize("group", [GLPlus(2), Cyclic(4)], ids=str)
def test_types_and_gradients(group, key):
    nodes = group_nodes(group, key, None if isinstance(group, Cyclic) else 3)
    model = Lifting(group, 1, 2, radius=1, rngs=nnx.Rngs(0))
    layer = GroupConvolution(group, 2, 2, radius=1, form="depthwise", rngs=nnx.Rngs(0))
    x = jnp.asarray(image((1, 5, 5, 1, 1)), jnp.float32)

    @jax.jit
    def loss(models, x):
        first, second = models
        y = second(first(x, nodes), nodes)
        return jnp.sum(y * y), y

    y, grads = jax.jit(jax.value_and_grad(loss, has_aux=True))((model, layer), x)
    assert y[1].dtype == jnp.float32
    leaves = jax.tree.leaves(grads)
    assert all(jnp.isfinite(leaf).all() for leaf in leaves)
    assert all(jnp.abs(leaf).max() > 0 for leaf in leaves)


def test_bad_input(key):
    rngs, nodes = nnx.Rngs(0), group_nodes(GLPlus(2), key, 3)
    with pytest.raises(ValueError, match="depends on places"):
        GroupKernel(GLPlus(2), 3, rngs=rngs)
    with pytest.raises(ValueError, match="whole radius"):
        GroupKernel(Cyclic(4), 3, radius=1.5, rngs=rngs)
    with pytest.raises(ValueError, match="form"):
        GroupConvolution(GLPlus(2), 1, 1, radius=1.0, form="dense", rngs=rngs)
    layer = Lifting(GLPlus(2), 1, 2, radius=1.0, half_width=3, rngs=rngs)
    with pytest.raises(ValueError, match="images of 2 dimensions"):
        layer(jnp.ones((1, 8, 8, 8, 1, 1)), nodes)
    with pytest.raises(ValueError, match="wider than the image"):
        layer(jnp.ones((1, 5, 5, 1, 1)), nodes)
    finite = GroupConvolution(Cyclic(4), 1, 1, radius=1, rngs=rngs)
    with pytest.raises(ValueError, match="leave out at"):
        finite(jnp.ones((1, 5, 5, 4, 1)), group_nodes(Cyclic(4)), jnp.eye(2)[None])
    with pytest.raises(ValueError, match="acts on 3 dimensions"):
        Images(Scalar(SO(3)))
