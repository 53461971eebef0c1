r"""Frames: for every input a finite set of group elements that is equivariant to the group.

A frame F gives every input x a set of group elements with weights, such that
:math:`F(g x) = g F(x)`. Any function of :math:`g^{-1} x` becomes invariant when it is averaged over
the frame, or equivariant when its values are transformed by g before the average:

.. math:: \Phi(x) = \sum_{g \in F(x)} w_g\; \rho_{out}(g)\, \phi(g^{-1} x)

``equinet.nn.FrameAveraging`` does this for any module.

References:
    Puny et al., Frame averaging for invariant and equivariant network design, arXiv:2110.03336
    (2022).
"""

import abc
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet._sharding import shard_like
from equinet.groups import Group
from equinet.precision import floating
from equinet.typing import Element, Key


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrameElements:
    """The elements of the frames of a batch of inputs.

    Attributes:
        elements: Group elements ``[..., size, *element]``.
        weights: Weights of the elements in an average, of sum one, ``[..., size]``.
        margin: Distance of the input from the inputs without a frame, relative to its size,
            ``[...]``: for principal axes the smallest gap of the eigenvalues.
        degenerate: True where the margin is not above rounding, so that the elements are not
            equivariant, ``[...]``.
    """

    elements: Element
    weights: Float[Array, "... size"]
    margin: Float[Array, "..."]
    degenerate: Bool[Array, "..."]

    def draw(self, key: Key, count: int) -> "FrameElements":
        """Draws elements with their weights as probabilities, independently for every input.

        Args:
            key: A JAX PRNG key.
            count: Number of elements to draw for every input.

        Returns:
            ``count`` elements of equal weight for every input.
        """
        logits = jnp.log(jax.lax.stop_gradient(self.weights))
        # The shape and the order of the axes decide which elements a key draws: keep them.
        noise = jax.random.gumbel(key, (count, *logits.shape), logits.dtype)
        noise = shard_like(jnp.moveaxis(noise, 0, -2), logits, logits.ndim - 1)

        def draw_one(frame: FrameElements, scores: Array) -> FrameElements:
            index = jnp.argmax(scores, axis=-1)
            elements = jax.tree.map(lambda leaf: jnp.take(leaf, index, axis=0), frame.elements)
            equal = jnp.full((count,), 1 / count, frame.weights.dtype)
            return FrameElements(elements, equal, frame.margin, frame.degenerate)

        return over_batch(draw_one, logits.ndim - 1)(self, noise + logits[..., None, :])


class Frame(abc.ABC):
    """Base class of frames: a frozen dataclass with a group that is called with inputs.

    A subclass implements ``check`` and ``single``, the frame of one input; calls map it over the
    batch axes. An input is a matrix: points ``[n, d]`` or an adjacency matrix ``[n, n]``.

    Attributes:
        group: The group whose elements the frame consists of.
    """

    group: Group

    def __call__(self, x: Array, mask: Bool[Array, "... n"] | None = None) -> FrameElements:
        """The frames of a batch of inputs.

        Args:
            x: Inputs ``[..., n, d]``; integers are promoted to floats.
            mask: False for padding among the n members of an input, ``[..., n]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        x = floating(x)
        self.check(x.shape)
        if mask is None:
            return over_batch(lambda x: self.single(x, None), x.ndim - 2)(x)
        if mask.shape != x.shape[:-1]:
            raise ValueError(f"expected a mask of the shape {x.shape[:-1]}, got {mask.shape}")
        return over_batch(self.single, x.ndim - 2)(x, mask)

    @abc.abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if inputs of this shape, with their batch axes, do not fit."""

    @abc.abstractmethod
    def single(self, x: Float[Array, "n d"], mask: Bool[Array, "n"] | None) -> FrameElements:
        """The frame of one input, all its elements."""

    def sample(
        self, x: Array, key: Key, count: int = 1, mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """Random elements of every frame, whose average is an unbiased estimate.

        Args:
            x: Inputs ``[..., n, d]``.
            key: A JAX PRNG key.
            count: Number of elements to draw for every input.
            mask: False for padding, ``[..., n]``.
        """
        return self(x, mask).draw(key, count)


def over_batch(function: Callable[..., FrameElements], axes: int) -> Callable[..., FrameElements]:
    """Maps a function of arrays over this number of leading axes.

    The function sees one input, so that the arrays it creates need no batch axes and follow the
    sharding of the inputs.
    """
    for _ in range(axes):
        function = jax.vmap(function)
    return function
