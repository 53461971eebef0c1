"""Averages of a module over frames, which make any module equivariant."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from equinet.groups import Group
from equinet.nn.module import Module
from equinet.ops.frames import Frame, FrameElements
from equinet.precision import at_least_float32
from equinet.reps import Transformable
from equinet.typing import Element, Key

Reps = PyTree[Transformable | None]

DEGENERATE = ("nan", "keep")


class FrameAveraging(Module):
    r"""Average any module over a frame: the result is invariant or equivariant for all weights.

    .. math:: \Phi(x) = \sum_{g \in F(x)} w_g\; \rho_{out}(g)\, \phi(g^{-1} x)

    The module is called once, on arrays with exactly one leading axis that holds all batch axes
    and the elements of the frames: ``[batch * size, ...]``. It needs no symmetry; where it mixes
    examples (batch statistics), it mixes those of all elements.

    Args:
        module: The module :math:`\phi`, any function of arrays.
        frame: The frame F, which assigns weighted group elements to an input.
        rep_in: How each input transforms: a tuple with one entry for every argument, each a
            representation (features ``[..., dim, channels]``), ``Points``, ``WithoutChannels``,
            None for an input that does not transform, or a pytree of these. The group of each is
            the group of the frame or its linear part.
        rep_out: How the output transforms, in the same form as one entry of ``rep_in``. None: the
            output is the mean over the frame, which is invariant.
        of: Function from the inputs to the arguments of the frame; by default the frame is given
            the first input alone. With ``lambda x, features, mask: (x, mask)`` it ignores padding.
        samples: Number of elements that are drawn if a key is given.
        degenerate: What happens to inputs for which the frame is not defined: "nan" makes their
            outputs NaN, so that they cannot be overlooked; "keep" uses the elements as they are.

    Raises:
        ValueError: If ``samples`` is less than 1, ``degenerate`` is unknown, or ``rep_in`` is not a
            tuple.

    References:
        Puny et al., arXiv:2110.03336 (2022); one element at a time: Duval et al., FAENet,
        arXiv:2305.05577 (2023).

    >>> from flax import nnx
    >>> from equinet.groups import SO
    >>> from equinet.ops.frames import PCAFrame
    >>> from equinet.reps import Points
    >>> class Network(nnx.Module):
    ...     def __init__(self, *, rngs: nnx.Rngs) -> None:
    ...         self.linear = nnx.Linear(12, 12, rngs=rngs)
    ...     def __call__(self, x: Array) -> Array:
    ...         return jnp.tanh(self.linear(x.reshape(len(x), 12))).reshape(x.shape)
    >>> points = Points(SO(3))
    >>> layer = FrameAveraging(Network(rngs=nnx.Rngs(0)), PCAFrame(SO(3)), (points,), points)
    >>> x = jax.random.normal(jax.random.key(0), (4, 3))
    >>> rotation = SO(3).sample(jax.random.key(1))
    >>> rotated = layer(points.transform(rotation, x))
    >>> bool(jnp.allclose(rotated, points.transform(rotation, layer(x)), atol=1e-5))
    True
    """

    def __init__(
        self,
        module: Callable[..., PyTree[Array]],
        frame: Frame,
        rep_in: Reps,
        rep_out: Reps,
        *,
        of: Callable[..., tuple[Array, ...]] | None = None,
        samples: int = 1,
        degenerate: str = "nan",
    ) -> None:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        if degenerate not in DEGENERATE:
            raise ValueError(f"degenerate must be one of {DEGENERATE}, got {degenerate!r}")
        self.module, self.frame = module, frame
        if not isinstance(rep_in, tuple):
            raise ValueError(
                f"rep_in must be a tuple with one entry for every argument, got {rep_in}"
            )
        self.rep_in, self.rep_out = _Reps.of(rep_in), _Reps.of(rep_out)
        self.of, self.samples, self.degenerate = of, samples, degenerate

    def __call__(self, *inputs: PyTree[Array], key: Key | None = None) -> PyTree[Array]:
        """Apply the module for every element of the frame and average.

        Args:
            *inputs: Arrays, or pytrees of arrays, that share their leading batch axes.
            key: Random key for training: ``samples`` elements of every frame are drawn instead of
                all being used, so the result is unbiased and costs ``samples`` calls of the module.

        Returns:
            The average of the outputs of the module, with the batch axes of the inputs.

        Raises:
            ValueError: If the number of inputs differs from the number of entries of ``rep_in``.
        """
        if len(inputs) != len(self.rep_in.tree):
            raise ValueError(f"expected {len(self.rep_in.tree)} inputs, got {len(inputs)}")
        samples = self.elements(*inputs, key=key)
        batch, size = samples.weights.shape[:-1], samples.weights.shape[-1]
        rank, rows = len(batch), math.prod(batch)
        elements = jax.tree.map(
            lambda g: g.reshape(rows, size, *g.shape[rank + 1 :]), samples.elements
        )
        flat = jax.tree.map(lambda x: x.reshape(rows, *x.shape[rank:]), inputs)
        inputs = self.rep_in.transform(self.frame.group, elements, flat, inverse=True)
        inputs = jax.tree.map(lambda x: x.reshape(rows * size, *x.shape[2:]), inputs)
        outputs = self.module(*inputs)
        outputs = jax.tree.map(lambda y: y.reshape(rows, size, *y.shape[1:]), outputs)
        outputs = self.rep_out.transform(self.frame.group, elements, outputs, inverse=False)
        weights, degenerate = samples.weights.reshape(rows, size), samples.degenerate.reshape(rows)

        def average(y: Array) -> Array:
            own = weights.astype(y.dtype).reshape(*weights.shape, *(1,) * (y.ndim - 2))
            mean = jnp.sum(own * y, axis=1)
            if self.degenerate == "nan":
                here = degenerate.reshape(rows, *(1,) * (mean.ndim - 1))
                mean = jnp.where(here, jnp.nan, mean)
            return mean.reshape(*batch, *mean.shape[1:])

        return jax.tree.map(average, outputs)

    def elements(self, *inputs: PyTree[Array], key: Key | None = None) -> FrameElements:
        """Group elements of the frames of the inputs, their weights and a flag for degeneracy."""
        x, *mask = inputs[:1] if self.of is None else self.of(*inputs)
        mask = mask[0] if mask else None
        if jnp.issubdtype(x.dtype, jnp.floating):  # eigenvectors need float32 at least
            x = x.astype(at_least_float32(x.dtype))
        if key is None:
            return self.frame(x, mask)
        return self.frame.sample(x, key, self.samples, mask)


@dataclasses.dataclass(frozen=True)
class _Reps:
    """A pytree of representations as a value that can be hashed."""

    leaves: tuple[Transformable | None, ...]
    structure: Any

    @classmethod
    def of(cls, reps: Reps) -> "_Reps":
        leaves, structure = jax.tree.flatten(reps, is_leaf=_is_none)
        return cls(tuple(leaves), structure)

    @property
    def tree(self) -> Any:
        return jax.tree.unflatten(self.structure, self.leaves)

    def transform(
        self, group: Group, elements: Element, tree: PyTree[Array], *, inverse: bool
    ) -> PyTree[Array]:
        """Act on every array with every element; the result is ``[rows, size, ...]``.

        Args:
            group: The group of the elements.
            elements: ``[rows, size, *element]``.
            tree: Arrays, ``[rows, ...]`` if ``inverse``, else ``[rows, size, ...]``.
            inverse: Whether to act with the inverses of the elements.
        """
        if inverse:
            elements = group.inverse(elements)
        size = jax.tree.leaves(elements)[0].shape[1]

        def act(rep: Transformable | None, subtree: PyTree[Array]) -> PyTree[Array]:
            if rep is None:
                return jax.tree.map(repeat, subtree) if inverse else subtree
            g = elements if rep.group == group else group.linear_part(elements)
            one = jax.vmap(rep.transform, in_axes=(0, None if inverse else 0))
            return jax.tree.map(lambda x: jax.vmap(one)(_in_type_of(x, g), x), subtree)

        def repeat(x: Array) -> Array:
            return jnp.broadcast_to(x[:, None], (x.shape[0], size, *x.shape[1:]))

        return jax.tree.map(act, self.tree, tree, is_leaf=_is_none)


def _in_type_of(x: Array, g: Element) -> Element:
    """Cast the elements to the type of ``x`` where both are floating."""
    floating = jnp.issubdtype(x.dtype, jnp.floating)

    def convert(leaf: Array) -> Array:
        both = floating and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(x.dtype) if both else leaf

    return jax.tree.map(convert, g)


def _is_none(rep: Any) -> bool:
    return rep is None
