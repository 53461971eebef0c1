"""Kernels of convolutions on images and groups: functions of the place, the element, or both.

Of a group that is not finite they are networks of coordinates or sums of splines, smoothly cut off;
of a finite group they are tables, on a grid of pixels that is turned by interpolation. All start
with variance one.
"""

import functools
import itertools
import math
from typing import Any, Literal, Unpack, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from equinet.groups import FiniteGroup, Group, GroupNodes, PolarGroup
from equinet.nn.module import Module, ModuleOptions, along_last
from equinet.ops.images import pixel_offsets
from equinet.ops.images._group_images import (
    bump,
    polar_features,
    relative_elements,
    transformed_offsets,
)
from equinet.precision import at_least_float32, read_only
from equinet.random import normal
from equinet.typing import Matrix

Basis = Literal["sines", "splines"]
_SPLINE_SIZE = math.sqrt(315 / 151)  # one over the root of the integral of the squared spline


class SineNetwork(Module):
    r"""A perceptron whose activation is the sine, for functions of coordinates.

    .. math:: h_0 = \sin(\omega W_0 x + b_0), \quad h_k = \sin(W_k h_{k-1} + b_k), \quad
              y = W h

    Weights start so that every layer has variance one half and the output has variance one, for
    inputs of size one.

    Args:
        coordinates: Number of inputs.
        outputs: Number of outputs.
        width: Of the hidden layers.
        hidden: Number of hidden layers.
        frequency: The :math:`\omega`: how many waves the function starts with.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    References:
        Sitzmann et al., arXiv:2006.09661 (2020).

    >>> SineNetwork(3, 8, rngs=nnx.Rngs(0))(jnp.zeros((5, 3))).shape
    (5, 8)
    """

    def __init__(
        self,
        coordinates: int,
        outputs: int,
        *,
        width: int = 32,
        hidden: int = 2,
        frequency: float = 3.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        sizes = [coordinates, *[width] * hidden, outputs]
        self.frequency = frequency
        self.kernels = nnx.List([parameters.kernel(pair) for pair in itertools.pairwise(sizes)])
        self.biases = nnx.List(
            [parameters.bias((size,), init=normal, scale=math.pi) for size in sizes[1:-1]]
        )

    def __call__(self, x: Float[Array, "... coordinates"]) -> Float[Array, "... outputs"]:
        """The values at the coordinates ``x``."""
        x, *kernels = self.cast(x, *self.kernels)
        _, *biases = self.cast(x, *self.biases)
        for k, (kernel, bias) in enumerate(zip(kernels, biases, strict=False)):
            size = self.frequency if k == 0 else math.sqrt(2 / kernel.shape[0])
            product = jnp.matmul(x, kernel, precision=self.precision)
            x = jnp.sin(size * product + along_last(bias, x.ndim))
        last = kernels[-1]
        return math.sqrt(2 / last.shape[0]) * jnp.matmul(x, last, precision=self.precision)


class GroupKernel(Module):
    r"""A kernel :math:`k(v, g)` of places v, of elements g, or of both.

    With a group that is not finite: a ``SineNetwork`` of v over the radius and of the polar factors
    of g, times ``bump`` of :math:`|v|^2 / r^2` and of :math:`|\log P|^2 / s^2`, which is zero at
    the radius itself: a radius of 1 is one pixel. For places alone there may be cubic B-splines in
    place of the network, :math:`\sum_u c_u \prod_d B(v_d - u_d)` over the pixels u up to the
    radius, which have a coefficient for each pixel, as a table has. With a finite group: free
    values on a grid of :math:`(2r + 1)^n` pixels and for every element, between pixels interpolated
    linearly. The grid is cut to a ball unless the group maps it to itself.

    Args:
        group: The group H.
        outputs: Numbers of one value.
        radius: The r, in pixels; None for a kernel of g alone. A whole number if H is finite.
        half_width: Of the window on which places are asked for, in pixels; None: the radius.
        relative: Whether it depends on g.
        support: The s; None for no bound.
        basis: "sines", the network, or "splines"; a finite group has neither.
        width: Hidden width of the network.
        frequency: Of the network.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If it depends on nothing, a size is out of range, or the basis does not fit.

    References:
        Splines: Bekkers, B-Spline CNNs on Lie Groups, arXiv:1909.12057 (2020).

    >>> from equinet.groups import Cyclic
    >>> from equinet.groups import group_nodes
    >>> kernel = GroupKernel(Cyclic(4), 6, radius=1, relative=True, rngs=nnx.Rngs(0))
    >>> kernel(group_nodes(Cyclic(4))).shape  # i, j, the window, outputs
    (4, 4, 3, 3, 6)
    """

    def __init__(
        self,
        group: Group,
        outputs: int,
        *,
        radius: float | None = None,
        half_width: int | None = None,
        relative: bool = False,
        support: float | None = None,
        basis: Basis = "sines",
        width: int = 32,
        frequency: float = 3.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        _check(group, outputs, radius, relative, support)
        if basis not in get_args(Basis) or (basis == "splines" and (relative or radius is None)):
            raise ValueError(
                f'basis: expected "sines", or "splines" for a kernel of places alone, got {basis!r}'
            )
        self.group, self.outputs, self.radius = group, outputs, radius
        self.relative, self.support = relative, support
        self.half_width = half_width
        if radius is not None and half_width is None:
            self.half_width = math.floor(radius)
        finite = isinstance(group, FiniteGroup)
        pixels = 1 if radius is None else (2 * int(radius) + 1) ** group.vector_dim
        shape = (group.order if finite and relative else 1, pixels, outputs)
        self.table = parameters.kernel(shape) if finite else None
        splines = basis == "splines" and not finite
        self.splines = parameters.kernel((pixels, outputs)) if splines else None
        network: dict[str, Any] = {"width": width, "frequency": frequency, "rngs": rngs, **options}
        self.network = (
            None
            if finite or splines
            else SineNetwork(_coordinates(group, radius, relative), outputs, **network)
        )

    def __call__(self, nodes: GroupNodes, at: Matrix | None = None) -> Float[Array, "..."]:
        """The values at the nodes.

        Args:
            nodes: The h_j.
            at: The h_i, ``[M, n, n]``, if they are not the nodes too; not for a finite group.

        Returns:
            ``[M, *K, outputs]`` of places h_i^-1 v, ``[M, N, outputs]`` of elements h_i^-1 h_j, or
            ``[M, N, *K, outputs]`` of both.
        """
        dtype = self.dtype or nodes.elements.dtype
        # Elements are factorised: in float32 at least, whatever the type of the kernel.
        wide = at_least_float32(nodes.elements.dtype)
        nodes = jax.tree.map(lambda leaf: leaf.astype(wide), nodes)
        at = nodes.elements if at is None else at.astype(wide)
        return self._evaluated(nodes, at).astype(dtype)

    def _evaluated(self, nodes: GroupNodes, at: Matrix) -> Float[Array, "..."]:
        if self.table is not None:
            return self._interpolated(nodes)
        if not self.relative:
            places, cutoff = self._places(at)
            if self.splines is not None:
                return self._spline_sum(places) * cutoff[..., None]
            return self._values(places, cutoff)
        features, cutoff = self._pairs(at, nodes.elements)
        if self.radius is None:
            return self._values(features, cutoff)
        places, bound = self._places(at)
        ones = (1,) * (places.ndim - 2)
        shape = (*features.shape[:2], *places.shape[1:-1])
        features = features.reshape(*features.shape[:2], *ones, -1)
        both = (
            jnp.broadcast_to(features, (*shape, features.shape[-1])),
            jnp.broadcast_to(places[:, None], (*shape, places.shape[-1])),
        )
        cutoff = cutoff.reshape(*cutoff.shape, *ones) * bound[:, None]
        return self._values(jnp.concatenate(both, axis=-1), cutoff)

    def _values(self, x: Float[Array, "... k"], cutoff: Float[Array, "..."]) -> Array:
        assert self.network is not None
        values = self.network(x)
        return values * cutoff[..., None].astype(values.dtype)

    def _spline_sum(self, places: Float[Array, "M *K n"]) -> Float[Array, "M *K outputs"]:
        """The sum of splines at places over the radius."""
        assert self.splines is not None
        assert self.radius is not None
        grid = pixel_offsets(int(self.radius), self.group.vector_dim).reshape(
            -1, self.group.vector_dim
        )
        grid = jnp.asarray(grid, places.dtype).reshape((1,) * (places.ndim - 1) + grid.shape)
        offsets = self.radius * places[..., None, :] - grid
        values = jnp.prod(cubic_spline(offsets), axis=-1) * _SPLINE_SIZE**self.group.vector_dim
        return jnp.matmul(values, self.splines[...].astype(places.dtype))

    def _places(self, at: Matrix) -> tuple[Float[Array, "M *K n"], Float[Array, "M *K"]]:
        """The places over the radius, and their cutoff."""
        assert self.radius is not None
        assert self.half_width is not None
        places = transformed_offsets(at, self.half_width) / self.radius
        return places, bump(jnp.sum(places**2, axis=-1))

    def _pairs(self, at: Matrix, elements: Matrix) -> tuple[Array, Float[Array, "M N"]]:
        """Coordinates of the elements h_i^-1 h_j, and their cutoff."""
        pairs = jax.lax.stop_gradient(relative_elements(self.group, at, elements))
        log_spd, rotation = polar_features(self.group, pairs)
        size = 1.0 if self.support is None else self.support
        cutoff = jnp.ones(pairs.shape[:2], pairs.dtype)
        if self.support is not None:
            cutoff = bump(jnp.sum(log_spd**2, axis=-1) / size**2)
        return jnp.concatenate([log_spd / size, rotation], axis=-1), cutoff

    @property
    def window_size(self) -> int:
        """Number of offsets in the window of places."""
        return 1 if self.half_width is None else (2 * self.half_width + 1) ** self.group.vector_dim

    def size(self, measure: float) -> float:
        """The root mean square of a sum over the kernel, at the start, of inputs that are white.

        Args:
            measure: The integral over the samples of one.
        """
        if self.radius is None:
            return math.sqrt(measure)
        ndim = self.group.vector_dim
        if isinstance(self.group, FiniteGroup):
            return math.sqrt(measure * float(_grid_mask(self.group, int(self.radius)).sum()))
        offsets = pixel_offsets(math.floor(self.radius), ndim) / self.radius
        squares = np.sum(offsets**2, axis=-1)
        return math.sqrt(measure * float(np.sum(np.maximum(1 - squares, 0) ** 4)))

    def _interpolated(self, nodes: GroupNodes) -> Float[Array, "..."]:
        assert self.table is not None
        assert isinstance(self.group, FiniteGroup)
        dtype = nodes.elements.dtype
        table = self.table[...].astype(dtype)
        if self.radius is None:
            return table[:, 0][relative_index(self.group)]
        turned = jnp.asarray(turned_grids(self.group, int(self.radius)), dtype)
        values = jnp.einsum("iuv,gvo->iguo", turned, table, precision=jax.lax.Precision.HIGHEST)
        if self.relative:
            index = jnp.asarray(relative_index(self.group))
            values = jnp.take_along_axis(values, index[..., None, None], axis=1)
        else:
            values = values[:, 0]
        width = 2 * int(self.radius) + 1
        axes = [width] * self.group.vector_dim
        return values.reshape(*values.shape[:-2], *axes, self.outputs)


def cubic_spline(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """The cubic B-spline of integer knots, zero from two on.

    >>> (6 * cubic_spline(jnp.asarray([0.0, 1.0, -1.0, 2.0]))).round(4).tolist()
    [4.0, 1.0, 1.0, 0.0]
    """
    t = jnp.abs(t)
    near = 2 / 3 - t**2 + t**3 / 2
    return jnp.where(t < 1, near, jnp.maximum(2 - t, 0) ** 3 / 6)


def _check(
    group: Group, outputs: int, radius: float | None, relative: bool, support: float | None
) -> None:
    if radius is None and not relative:
        raise ValueError("a kernel depends on places (a radius), on elements, or on both: got none")
    if outputs < 1 or (radius is not None and radius < 0) or (support is not None and support <= 0):
        raise ValueError(
            f"expected outputs >= 1, radius >= 0, support > 0, got {outputs}, {radius}, {support}"
        )
    if isinstance(group, FiniteGroup) and radius is not None and radius != int(radius):
        raise ValueError(
            f"the kernels of {group} lie on a grid: expected a whole radius, got {radius}"
        )


def _coordinates(group: Group, radius: float | None, relative: bool) -> int:
    space = group.vector_dim
    count = space if radius is not None else 0
    if not relative:
        return count
    if isinstance(group, PolarGroup):
        turns = space * (space - 1) if group.has_rotations else 0
        return count + group.symmetric_dim + turns
    return count + space * (space - 1)


@functools.cache
def relative_index(group: FiniteGroup) -> Int[np.ndarray, "order order"]:
    """The positions of g_i^-1 g_j among the elements."""
    with jax.ensure_compile_time_eval():
        elements = jnp.asarray(group.elements())
        pairs = jax.vmap(lambda g: jax.vmap(lambda h: group.compose(group.inverse(g), h))(elements))
        return read_only(np.asarray(group.index(pairs(elements)), np.int32))


@functools.cache
def turned_grids(group: FiniteGroup, radius: int) -> Float[np.ndarray, "order K K"]:
    """Matrices that take values on a grid to those at g^-1 v, by linear interpolation.

    >>> from equinet.groups import Cyclic
    >>> bool((turned_grids(Cyclic(4), 1).sum(-1) == 1).all())  # quarter turns: permutations
    True
    """
    ndim = group.vector_dim
    grid = pixel_offsets(radius, ndim).reshape(-1, ndim)
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        matrices = np.asarray(group.linear_part(jnp.asarray(group.elements())), np.float64)
    places = np.einsum("gji,vj->gvi", matrices, grid)  # the inverse of an orthogonal matrix
    hats = np.maximum(1 - np.abs(places[:, :, None, :] - grid), 0).prod(-1)
    return read_only(hats * _grid_mask(group, radius).reshape(-1))


@functools.cache
def _grid_mask(group: FiniteGroup, radius: int) -> Float[np.ndarray, "*K"]:
    """Ones in a ball, or everywhere if the group maps the grid to itself."""
    ndim = group.vector_dim
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        matrices = np.asarray(group.linear_part(jnp.asarray(group.elements())), np.float64)
    grid = pixel_offsets(radius, ndim)
    if np.all(matrices == np.round(matrices)):
        return np.ones(grid.shape[:-1])
    return (np.sum(grid**2, axis=-1) <= (radius + 0.5) ** 2).astype(np.float64)
