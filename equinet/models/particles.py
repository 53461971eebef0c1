"""A network for interacting particles without symmetry, and its average over frames."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.groups import E
from equinet.models.egnn import PairMLP, pair_mask, pair_offsets
from equinet.nn import MLP, FrameAveraging, Module, ModuleOptions
from equinet.nn.activations import normalized
from equinet.ops.frames import Frame, PCAFrame
from equinet.reps import Points, Vector, WithoutChannels


class ParticleGNN(Module):
    r"""Message passing on raw coordinates, equivariant under permutations of the particles alone.

    .. math:: h_i &\leftarrow \mathrm{MLP}(x_i, v_i, q_i^2), \\
              h_i &\leftarrow h_i + \phi_h \Big( h_i, \frac{1}{N_i} \sum_{j \ne i}
              \sigma(\phi_e(h_i, h_j, x_i - x_j, |x_i - x_j|^2, q_i q_j)) \Big), \\
              y_i &= x_i + \psi(h_i)

    Charges enter by products only, as in the forces, so the sign of all charges has no effect.

    Args:
        hidden: Features of nodes and messages.
        layers: Number of layers.
        dim: Dimension of space.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is less than 1.

    >>> x, q = jnp.ones((2, 5, 3)), jnp.ones((2, 5))
    >>> ParticleGNN(8, 2, rngs=nnx.Rngs(0))(x, x, q).shape
    (2, 5, 3)
    """

    def __init__(
        self,
        hidden: int = 60,
        layers: int = 4,
        *,
        dim: int = 3,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if min(hidden, layers, dim) < 1:
            raise ValueError(
                f"hidden, layers and dim must be at least 1, got {hidden}, {layers} and {dim}"
            )
        self.dim = dim
        shared: dict[str, Any] = {"rngs": rngs, **options}
        self.activation = normalized(jax.nn.silu)
        self.embedding = MLP((2 * dim + 1, hidden), use_bias=True, **shared)
        self.messages = nnx.List(
            [PairMLP(hidden, dim + 2, (hidden, hidden), **shared) for _ in range(layers)]
        )
        self.updates = nnx.List(
            [MLP((2 * hidden, hidden, hidden), use_bias=True, **shared) for _ in range(layers)]
        )
        self.readout = MLP((hidden, hidden, dim), use_bias=True, **shared)

    def __call__(
        self,
        positions: Float[Array, "... n d"],
        velocities: Float[Array, "... n d"],
        charges: Float[Array, "... n"],
        mask: Bool[Array, "... n"] | None = None,
    ) -> Float[Array, "... n d"]:
        """Predict the new positions of all particles.

        Args:
            positions: ``[..., n, d]``.
            velocities: ``[..., n, d]``.
            charges: ``[..., n]``.
            mask: True for real particles, ``[..., n]``; padding has no effect and stays.

        Returns:
            ``[..., n, d]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        check_particles(positions, velocities, charges, self.dim)
        dtype = self.dtype or positions.dtype
        pairs = pair_mask(positions, mask).astype(dtype)
        edges = jnp.concatenate([*pair_offsets(positions), charge_products(charges)], axis=-1)
        edges = edges.astype(dtype)
        count = jnp.maximum(jnp.sum(pairs, axis=-2), 1)
        inputs = jnp.concatenate([positions, velocities, charges[..., None] ** 2], axis=-1)
        h = self.embedding(inputs.astype(dtype))
        for message, update in zip(self.messages, self.updates, strict=True):
            found = self.activation(message(h, edges)) * pairs
            mean = jnp.sum(found, axis=-2) / count
            h = h + update(jnp.concatenate([h, mean], axis=-1))
        moved = positions + self.readout(h).astype(positions.dtype)
        return moved if mask is None else jnp.where(mask[..., None], moved, positions)


def frame_averaged_gnn(
    hidden: int = 60,
    layers: int = 4,
    *,
    dim: int = 3,
    frame: Frame | None = None,
    rngs: nnx.Rngs,
    **options: Unpack[ModuleOptions],
) -> FrameAveraging:
    """A ``ParticleGNN`` averaged over the principal frames of E(d), called with the same arrays.

    With ``key=`` one element of the frame is drawn: an eighth of the work in three dimensions,
    equivariant in expectation. Where eigenvalues of the covariance coincide the axes are arbitrary;
    the result is then finite, but depends on their choice.

    Args:
        hidden: Features of nodes and messages.
        layers: Number of layers.
        dim: Dimension of space.
        frame: Another frame of a group of motions; None for the principal axes.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    References:
        Puny et al., arXiv:2110.03336 (2022); one element: Duval et al.,
        arXiv:2305.05577 (2023).

    >>> model = frame_averaged_gnn(8, 2, rngs=nnx.Rngs(0))
    >>> x = jnp.arange(30.0).reshape(2, 5, 3) ** 1.5
    >>> model(x, x, jnp.ones((2, 5))).shape
    (2, 5, 3)
    """
    network = ParticleGNN(hidden, layers, dim=dim, rngs=rngs, **options)
    frame = PCAFrame(E(dim)) if frame is None else frame
    points = Points(frame.group)
    vectors = WithoutChannels(Vector(frame.group))
    reps = (points, vectors, None)
    return FrameAveraging(network, frame, reps, points, degenerate="keep")


def charge_products(charges: Float[Array, "... n"]) -> Float[Array, "... n n 1"]:
    """Products of the charges of all pairs, ``[..., n, n, 1]``, in squared units of charge."""
    return (charges[..., :, None] * charges[..., None, :])[..., None]


def check_particles(positions: Array, velocities: Array, charges: Array, dim: int) -> None:
    """Raise an error unless the shapes of the three arrays agree.

    Raises:
        ValueError: If a shape does not fit.
    """
    expected = positions.shape
    if expected[-1:] != (dim,) or velocities.shape != expected or charges.shape != expected[:-1]:
        raise ValueError(
            f"expected positions and velocities [..., n, {dim}] and charges [..., n], got "
            f"{positions.shape}, {velocities.shape} and {charges.shape}"
        )
