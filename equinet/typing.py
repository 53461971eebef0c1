"""Types of the arrays that all packages share.

Names of axes: ``...`` batch axes, ``dim`` the axis that a representation acts on, ``channels`` the
axis that learned weights mix, ``n`` the space of a group, ``d`` its Lie algebra, ``nodes``,
``edges``, ``graphs``.
"""

from collections.abc import Sequence

from jax.typing import DTypeLike as DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

Key = PRNGKeyArray
"""A JAX random key."""

Shape = Sequence[int]
"""Batch axes of the arrays that a function creates."""

Element = PyTree[Array]
"""Group elements: a matrix, an index array, or a tuple of them, with any batch axes in front."""

Feature = Float[Array, "... dim channels"]
"""Inputs and outputs of layers: the group acts on axis -2, weights mix axis -1."""

Matrix = Float[Array, "... n n"]
"""Square matrices, such as the elements of a matrix group or of its Lie algebra."""

PointCloud = Float[Array, "... n"]
"""Points of the space that a group acts on; E(n) moves them, but only rotates features."""
