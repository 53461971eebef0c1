"""Convolutions for groups that act on the plane or on space, compact or not, as Flax modules.

One code path for all groups: samples of H are ``GroupNodes``, drawn once and shared by all layers,
so that residual paths add features at the same elements. Of a finite group they are its elements
and everything is exact.
"""

import math
from typing import Any, Literal, Unpack, get_args

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.groups import FiniteGroup, Group, GroupNodes, nodes_mass
from equinet.linalg import small_matrices as small
from equinet.nn.group_kernels import Basis, GroupKernel
from equinet.nn.module import Module, ModuleOptions
from equinet.ops.images import Boundary
from equinet.ops.images import _group_images as group_images
from equinet.ops.images._group_images import Image
from equinet.precision import at_least_float32
from equinet.typing import Matrix

Form = Literal["full", "separable", "depthwise"]


class Lifting(Module):
    r"""From an image to a function on positions and group elements.

    .. math:: f_d(x, h_i) = \frac{1}{|\det h_i|} \sum_{y c} k_{c d}(h_i^{-1} (y - x))\, f_c(y)

    The kernel has compact support, a ball of the radius; pixels outside of the window are left out,
    none if its half width is ``window_half_width(radius, largest log singular value)``.

    Args:
        group: The group H.
        channels_in: Channels of the image.
        channels_out: Channels of the result.
        radius: Of the kernel, in pixels.
        half_width: Of the window of pixels; None: the radius.
        downsampling: Pixels of the blocks along every axis over which the result is averaged.
        boundary: Of the image: "zeros" beyond its edges, or "periodic".
        basis: Of the kernel: "sines" or "splines".
        width: Hidden width of the kernel network.
        frequency: Of the kernel network.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If the group does not act on the image, or the window is wider than it.

    >>> import jax
    >>> from equinet.groups import GLPlus
    >>> from equinet.groups import group_nodes
    >>> layer = Lifting(GLPlus(2), 1, 8, radius=2.0, half_width=3, rngs=nnx.Rngs(0))
    >>> nodes = group_nodes(GLPlus(2), jax.random.key(0), 5)
    >>> layer(jnp.ones((2, 12, 12, 1, 1)), nodes).shape
    (2, 12, 12, 5, 8)
    """

    def __init__(
        self,
        group: Group,
        channels_in: int,
        channels_out: int,
        *,
        radius: float,
        half_width: int | None = None,
        downsampling: int = 1,
        boundary: Boundary = "zeros",
        basis: Basis = "sines",
        width: int = 32,
        frequency: float = 3.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if downsampling < 1:
            raise ValueError(f"downsampling: expected 1 pixel or more, got {downsampling}")
        self.group, self.channels_in, self.channels_out = group, channels_in, channels_out
        self.downsampling = downsampling
        self.boundary: Boundary = boundary
        self.kernel = GroupKernel(
            group,
            channels_in * channels_out,
            radius=radius,
            half_width=half_width,
            basis=basis,
            width=width,
            frequency=frequency,
            rngs=rngs,
            **options,
        )

    def __call__(
        self, x: Float[Array, "batch *sizes 1 channels_in"], nodes: GroupNodes
    ) -> Float[Array, "batch *sizes N channels_out"]:
        """Lift the image to the nodes.

        Args:
            x: ``[batch, *sizes, 1, channels_in]``.
            nodes: The N samples of the group.

        Returns:
            ``[batch, *sizes / downsampling, N, channels_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        _check_image(self.group, x, 1, self.channels_in)
        (x,) = self.cast(x)
        nodes = _cast(nodes, x)
        values = self.kernel(nodes) * (1 / (self.kernel.size(1.0) * math.sqrt(self.channels_in)))
        determinants = _determinants(nodes.elements).reshape(-1, *[1] * (values.ndim - 1))
        values = (values / determinants.astype(values.dtype)).astype(x.dtype)
        values = values.reshape(*values.shape[:-1], self.channels_in, self.channels_out)
        kernel = jnp.moveaxis(values, 0, -2)[..., None, :, :, :]

        def averaged(x: Image) -> Image:
            return group_images.convolve_and_average(x, kernel, self.downsampling, self.precision)

        width, factor = self.kernel.half_width or 0, self.downsampling
        return group_images.with_boundary(averaged, x, width, self.boundary, factor)


class GroupConvolution(Module):
    r"""Convolution of functions on positions and group elements.

    .. math:: f_d(x, h_i) = \sum_{j} \frac{w_j}{|\det h_j|} \sum_{y c}
              k_{c d}(h_i^{-1} (y - x),\, h_i^{-1} h_j)\, f_c(y, h_j)

    in one of three forms: "full"; "separable", :math:`k_{c d}(v, g) = a_d(v)\, b_{c d}(g)`, whose
    cost is that of a matrix product of samples and channels; "depthwise",
    :math:`k_{c d}(v, g) = a_d(v)\, b_c(g)\, W_{c d}`, which mixes channels last. The kernel b is
    cut off at ``support`` in the norm of log P. With few samples the sum over j says little; a
    ``self_interaction`` adds to the kernel a delta at the identity of H (in the full form at v = 0
    too), which needs no samples.

    Args:
        group: The group H.
        channels_in: Channels of the input.
        channels_out: Channels of the result.
        radius: Of the kernel, in pixels.
        half_width: Of the window of pixels; None: the radius.
        form: "full", "separable" or "depthwise".
        scale: That of the nodes, with which weights are normalised.
        support: Radius of the kernel in the group; None for no bound.
        self_interaction: Whether there is a delta at the identity.
        boundary: Of the image: "zeros" beyond its edges, or "periodic".
        basis: Of the kernels of places alone: "sines" or "splines"; not for "full".
        width: Hidden width of the kernel networks.
        frequency: Of the kernel networks of places, or of both.
        group_frequency: Of the kernel network of elements alone.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If a word or a size is out of range.

    References:
        Mironenco and Forré, arXiv:2310.11366 (2024); separable kernels: Knigge et al.,
        arXiv:2110.13059 (2022).

    >>> from equinet.groups import Dihedral
    >>> from equinet.groups import group_nodes
    >>> layer = GroupConvolution(Dihedral(4), 4, 6, radius=1, form="full", rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((2, 9, 9, 8, 4)), group_nodes(Dihedral(4))).shape
    (2, 9, 9, 8, 6)
    """

    def __init__(
        self,
        group: Group,
        channels_in: int,
        channels_out: int,
        *,
        radius: float,
        half_width: int | None = None,
        form: Form = "separable",
        scale: float = 0.5,
        support: float | None = None,
        self_interaction: bool = False,
        boundary: Boundary = "zeros",
        basis: Basis = "sines",
        width: int = 32,
        frequency: float = 3.0,
        group_frequency: float = 1.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        if form not in get_args(Form):
            raise ValueError(f"form: expected one of {get_args(Form)}, got {form!r}")
        self.group, self.channels_in, self.channels_out = group, channels_in, channels_out
        self.form, self.mass = form, nodes_mass(group, scale)
        self.boundary: Boundary = boundary
        shared: dict[str, Any] = {"width": width, "rngs": rngs, **options}
        place: dict[str, Any] = {"radius": radius, "half_width": half_width, "frequency": frequency}
        mixed = channels_in * channels_out
        full: bool = form == "full"
        place["basis"] = basis
        relative: dict[str, Any] = {"relative": True, "support": support}
        self.joint = GroupKernel(group, mixed, **relative, **place, **shared) if full else None
        self.spatial = None if full else GroupKernel(group, channels_out, **place, **shared)
        outputs = mixed if form == "separable" else channels_in
        relative["frequency"] = group_frequency
        self.relative = None if full else GroupKernel(group, outputs, **relative, **shared)
        shape = (channels_in, channels_out)
        self.mixing = parameters.kernel(shape) if form == "depthwise" else None
        shape = (channels_in, 1) if form == "depthwise" else shape
        self.own = parameters.kernel(shape) if self_interaction else None

    def __call__(
        self,
        x: Float[Array, "batch *sizes N channels_in"],
        nodes: GroupNodes,
        at: Matrix | None = None,
    ) -> Float[Array, "batch *sizes M channels_out"]:
        """Convolve.

        Args:
            x: ``[batch, *sizes, N, channels_in]``.
            nodes: The samples at which x is given.
            at: The M elements ``[M, n, n]`` of the result, if they are others; not for a finite
                group.

        Returns:
            ``[batch, *sizes, M, channels_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        _check_image(self.group, x, nodes.elements.shape[0], self.channels_in)
        finite = isinstance(self.group, FiniteGroup)
        if at is not None and (finite or self.own is not None):
            what = f"all elements of {self.group}" if finite else "the nodes, with self_interaction"
            raise ValueError(f"the result lies at {what}: leave out at")
        (x,) = self.cast(x)
        nodes = _cast(nodes, x)
        elements = nodes.elements if at is None else at.astype(nodes.elements.dtype)
        measure = nodes.weights / (self.mass * _determinants(nodes.elements))
        measure = measure.astype(x.dtype)
        weighted = x * measure.reshape((1,) * (x.ndim - 2) + (-1, 1))
        size = 1 / math.sqrt(self.channels_in)
        own = None if self.own is None else self.own[...].astype(x.dtype)
        if self.joint is not None:
            y = self._full(weighted, nodes, elements)
            return y if own is None else y + jnp.matmul(x, size * own, precision=self.precision)
        assert self.spatial is not None
        assert self.relative is not None
        weights = self.relative(nodes, elements).astype(x.dtype)
        if self.mixing is None:
            weights = weights.reshape(*weights.shape[:2], self.channels_in, self.channels_out)
            y = group_images.mix_samples(weighted, size * weights, self.precision)
            if own is not None:
                y = y + jnp.matmul(x, size * own, precision=self.precision)
        else:
            y = group_images.mix_samples_channelwise(weighted, weights, self.precision)
            if own is not None:
                y = y + x * own.reshape((1,) * (x.ndim - 1) + (-1,))
            matrix = size * self.mixing[...].astype(x.dtype)
            y = jnp.matmul(y, matrix, precision=self.precision)
        kernel = self.spatial(nodes, elements).astype(x.dtype) * (1 / self.spatial.size(1.0))
        kernel = jnp.moveaxis(kernel, 0, -2)
        return group_images.convolve_channelwise(y, kernel, self.precision, self.boundary)

    def _full(self, x: Image, nodes: GroupNodes, elements: Matrix) -> Image:
        """Kernels of a few output samples at a time: their memory would grow as the square."""
        joint = self.joint
        assert joint is not None
        size = 1 / (joint.size(1.0) * math.sqrt(self.channels_in))

        def rows(at: Matrix) -> Image:
            values = size * joint(nodes, at).astype(x.dtype)
            values = values.reshape(*values.shape[:-1], self.channels_in, self.channels_out)
            kernel = jnp.moveaxis(jnp.moveaxis(values, 1, -3), 0, -2)

            def convolved(x: Image) -> Image:
                return group_images.convolve_group_images(x, kernel, self.precision)

            y = group_images.with_boundary(convolved, x, joint.half_width or 0, self.boundary)
            return jnp.moveaxis(y, -2, 0)

        count = nodes.elements.shape[0]
        values = count * joint.window_size * self.channels_in * self.channels_out
        result = x.size // (count * self.channels_in) * self.channels_out
        chunk = rows_per_chunk(len(elements), x.dtype.itemsize * (3 * values + result))
        chunk = len(elements) if isinstance(self.group, FiniteGroup) else chunk
        return jnp.moveaxis(map_chunks(rows, chunk, elements), 0, -2)


def _cast(nodes: GroupNodes, x: Array) -> GroupNodes:
    """The samples in the type of the image, but at least in float32: they are factorised."""
    return GroupNodes(*(leaf.astype(at_least_float32(x.dtype)) for leaf in nodes))


def _determinants(elements: Matrix) -> Float[Array, "N"]:
    return jnp.abs(small.determinant(elements))


def _check_image(group: Group, x: Array, samples: int, channels: int) -> None:
    ndim = group.vector_dim
    if x.ndim != ndim + 3 or x.shape[-2:] != (samples, channels):
        sizes = ", ".join("DHW"[-ndim:])
        raise ValueError(
            f"{group} acts on images of {ndim} dimensions: expected [batch, {sizes}, {samples}, "
            f"{channels}], got {x.shape}"
        )
