"""Any module made equivariant by averaging it over frames."""

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
    r"""A module of any kind, averaged over a frame: invariant or equivariant whatever its weights.

    .. math:: \Phi(x) = \sum_{g \in F(x)} w_g\; \rho_{out}(g)\, \phi(g^{-1} x)

    The module is called once, on arrays with exactly one leading axis that holds all batch axes
    and the elements of the frames: ``[batch * size, ...]``. It needs no symmetry; where it mixes
    examples (batch statistics), it mixes those of all elements.

    Args:
        module: The module.
        frame: What gives an input its group elements.
        rep_in: How each input transforms: a tuple with one entry for every argument, each a rep
            (features ``[..., dim, channels]``), ``Points``, ``WithoutChannels``, None for what does
            not transform, or a pytree of these. Reps may be those of the frame's group or of its
            linear part.
        rep_out: Likewise for the output. None: the mean of the outputs, which is invariant.
        of: From the inputs to the arguments of the frame; by default the first input alone. With
            ``lambda x, features, mask: (x, mask)`` the frame leaves padding out.
        samples: How many elements are drawn where a key is given.
        degenerate: What happens to inputs of which the frame is not defined: "nan" makes their
            outputs NaN, so that they cannot be overlooked; "keep" takes the elements as they are.

    Raises:
        ValueError: If a number or a word is not one of those.

    References:
        Puny et al., arXiv:2110.03336 (2022); one element at a time: Duval et al., FAENet,
        arXiv:2305.05577 (2023).

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
    >>> turn = SO(3).sample(jax.random.key(1))
    >>> moved = layer(points.transform(turn, x))
    >>> bool(jnp.allclose(moved, points.transform(turn, layer(x)), atol=1e-5))
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
            raise ValueError(f"rep_in must be a tuple, one entry for an argument, got {rep_in}")
        self.rep_in, self.rep_out = _Reps.of(rep_in), _Reps.of(rep_out)
        self.of, self.samples, self.degenerate = of, samples, degenerate

    def __call__(self, *inputs: PyTree[Array], key: Key | None = None) -> PyTree[Array]:
        """Apply the module to every element of the frame, turn back, average.

        Args:
            *inputs: Arrays, or pytrees of arrays, that share their leading batch axes.
            key: Draw ``samples`` elements of every frame instead of taking all: right in the mean,
                and as fast as the module itself. For training.

        Returns:
            What the module returns, with the batch axes of the inputs.

        Raises:
            ValueError: If there is another number of inputs than of entries in ``rep_in``.
        """
        if len(inputs) != len(self.rep_in.tree):
            raise ValueError(f"expected {len(self.rep_in.tree)} inputs, got {len(inputs)}")
        found = self.elements(*inputs, key=key)
        batch, size = found.weights.shape[:-1], found.weights.shape[-1]
        rank, rows = len(batch), math.prod(batch)
        elements = jax.tree.map(
            lambda g: g.reshape(rows, size, *g.shape[rank + 1 :]), found.elements
        )
        flat = jax.tree.map(lambda x: x.reshape(rows, *x.shape[rank:]), inputs)
        moved = self.rep_in.turn(self.frame.group, elements, flat, back=True)
        moved = jax.tree.map(lambda x: x.reshape(rows * size, *x.shape[2:]), moved)
        outputs = self.module(*moved)
        outputs = jax.tree.map(lambda y: y.reshape(rows, size, *y.shape[1:]), outputs)
        outputs = self.rep_out.turn(self.frame.group, elements, outputs, back=False)
        weights, degenerate = found.weights.reshape(rows, size), found.degenerate.reshape(rows)

        def average(y: Array) -> Array:
            own = weights.astype(y.dtype).reshape(*weights.shape, *(1,) * (y.ndim - 2))
            mean = jnp.sum(own * y, axis=1)
            if self.degenerate == "nan":
                here = degenerate.reshape(rows, *(1,) * (mean.ndim - 1))
                mean = jnp.where(here, jnp.nan, mean)
            return mean.reshape(*batch, *mean.shape[1:])

        return jax.tree.map(average, outputs)

    def elements(self, *inputs: PyTree[Array], key: Key | None = None) -> FrameElements:
        """The frames of the inputs: elements, weights, and where they are degenerate."""
        x, *mask = inputs[:1] if self.of is None else self.of(*inputs)
        mask = mask[0] if mask else None
        if jnp.issubdtype(x.dtype, jnp.floating):  # eigenvectors need float32 at least
            x = x.astype(at_least_float32(x.dtype))
        if key is None:
            return self.frame(x, mask)
        return self.frame.sample(x, key, self.samples, mask)


@dataclasses.dataclass(frozen=True)
class _Reps:
    """A pytree of reps as a value that can be hashed."""

    leaves: tuple[Transformable | None, ...]
    structure: Any

    @classmethod
    def of(cls, reps: Reps) -> "_Reps":
        leaves, structure = jax.tree.flatten(reps, is_leaf=_is_none)
        return cls(tuple(leaves), structure)

    @property
    def tree(self) -> Any:
        return jax.tree.unflatten(self.structure, self.leaves)

    def turn(
        self, group: Group, elements: Element, tree: PyTree[Array], *, back: bool
    ) -> PyTree[Array]:
        """Every array by every element: ``[rows, ...]`` or ``[rows, size, ...]`` to the latter.

        Args:
            group: The group of the elements.
            elements: ``[rows, size, *element]``.
            tree: Arrays, without the axis of the elements if ``back``.
            back: Act with the inverses.
        """
        if back:
            elements = group.inverse(elements)
        size = jax.tree.leaves(elements)[0].shape[1]

        def act(rep: Transformable | None, subtree: PyTree[Array]) -> PyTree[Array]:
            if rep is None:
                return jax.tree.map(repeat, subtree) if back else subtree
            g = elements if rep.group == group else group.linear_part(elements)
            one = jax.vmap(rep.transform, in_axes=(0, None if back else 0))
            return jax.tree.map(lambda x: jax.vmap(one)(_in_type_of(x, g), x), subtree)

        def repeat(x: Array) -> Array:
            return jnp.broadcast_to(x[:, None], (x.shape[0], size, *x.shape[1:]))

        return jax.tree.map(act, self.tree, tree, is_leaf=_is_none)


def _in_type_of(x: Array, g: Element) -> Element:
    """The elements in the type of ``x`` where both are floating."""
    floating = jnp.issubdtype(x.dtype, jnp.floating)

    def convert(leaf: Array) -> Array:
        both = floating and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(x.dtype) if both else leaf

    return jax.tree.map(convert, g)


def _is_none(rep: Any) -> bool:
    return rep is None
