"""Actions on arrays that are not features: points, images, arrays without a channel axis."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.reps.rep import Rep
from equinet.typing import Element, PointCloud


class Transformable(Protocol):
    """Whatever says how a group acts on an array: a ``Rep``, ``Points``, or a value of your own."""

    @property
    def group(self) -> Group:
        """The group whose elements ``transform`` takes."""
        ...

    def transform(self, g: Element, x: Array) -> Array:
        """The array after the action of one element ``g``."""
        ...


@dataclasses.dataclass(frozen=True)
class Points:
    """Points ``[..., n]``, which the group moves: under E(n) translations count, unlike for a rep.

    Args:
        group: The group.

    Example:
        >>> from equinet.groups import E
        >>> Points(E(3)).shape
        (3,)
    """

    group: Group

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (self.group.vector_dim,)

    def transform(self, g: Element, x: PointCloud) -> PointCloud:
        """Moves the points."""
        return self.group.act(g, x)


@dataclasses.dataclass(frozen=True)
class WithoutChannels:
    """Arrays ``[..., rep.dim]`` without a channel axis, such as forces or the rows of a cell.

    Args:
        rep: How the last axis transforms.

    Example:
        >>> import jax.numpy as jnp
        >>> from equinet.groups import E
        >>> from equinet.reps import Vector
        >>> forces = WithoutChannels(Vector(E(3)))
        >>> forces.transform(E(3).discrete_generators()[0], jnp.ones((5, 3))).shape
        (5, 3)
    """

    rep: Rep

    @property
    def group(self) -> Group:
        """The group of the rep."""
        return self.rep.group

    @property
    def shape(self) -> tuple[int]:
        """Shape of one entry."""
        return (self.rep.dim,)

    def transform(self, g: Element, x: Float[Array, "... dim"]) -> Float[Array, "... dim"]:
        """Acts on the last axis."""
        return self.rep.transform(g, x[..., None])[..., 0]


@dataclasses.dataclass(frozen=True)
class Images:
    r"""Images ``[..., *sizes, fibre.dim, channels]``, which the group moves about their centre.

    .. math:: (g f)(p) = \rho(g)\, f(g^{-1} p)

    A pixel's coordinates are its indices less those of the centre: coordinate k runs along spatial
    axis k. Between pixels values are interpolated linearly, outside they are zero; quarter turns
    and reflections of square images are exact.

    Args:
        fibre: How the feature of a pixel transforms, e.g. ``Regular(Cyclic(4))``.
        ndim: Number of spatial axes; the space that the group acts on.

    Raises:
        ValueError: If the group does not act on that space.

    Example:
        >>> import jax.numpy as jnp
        >>> from equinet.groups import Cyclic
        >>> from equinet.reps import Scalar
        >>> image = jnp.arange(4.0).reshape(2, 2, 1, 1)
        >>> print(Images(Scalar(Cyclic(4))).transform(1, image)[..., 0, 0])
        [[1. 3.]
         [0. 2.]]
    """

    fibre: Rep
    ndim: int = 2

    def __post_init__(self) -> None:
        space = self.fibre.group.vector_dim
        if space != self.ndim:
            raise ValueError(
                f"{self.fibre.group} acts on {space} dimensions, an image with ndim={self.ndim} "
                f"needs a group of that space"
            )

    @property
    def group(self) -> Group:
        """The group of the fibre."""
        return self.fibre.group

    def transform(
        self, g: Element, x: Float[Array, "... dim channels"]
    ) -> Float[Array, "... dim channels"]:
        """Moves the pixels and acts on their features."""
        x = self.fibre.transform(g, x)
        axes = tuple(range(x.ndim - 2 - self.ndim, x.ndim - 2))
        pixels = pixel_coordinates([x.shape[axis] for axis in axes])
        centre = (np.asarray([x.shape[axis] for axis in axes]) - 1) / 2
        wide = jnp.asarray(pixels, jnp.result_type(float))
        back = self.group.act(self.group.inverse(g), wide)
        back = back + jnp.asarray(centre, wide.dtype).reshape((1,) * self.ndim + (-1,))
        flat = jnp.moveaxis(x, axes, range(-self.ndim, 0))
        coordinates = list(jnp.moveaxis(back, -1, 0).astype(x.dtype))

        def move(one: Array) -> Array:
            return jax.scipy.ndimage.map_coordinates(one, coordinates, order=1)

        moved = jax.vmap(move)(flat.reshape(-1, *flat.shape[-self.ndim :]))
        return jnp.moveaxis(moved.reshape(flat.shape), range(-self.ndim, 0), axes)


def pixel_coordinates(sizes: Sequence[int]) -> Float[np.ndarray, "*sizes ndim"]:
    """The coordinates of pixels relative to the centre of the image.

    >>> pixel_coordinates((2, 1)).tolist()
    [[[-0.5, 0.0]], [[0.5, 0.0]]]
    """
    axes = [np.arange(size) - (size - 1) / 2 for size in sizes]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
