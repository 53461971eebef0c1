"""Fourier neural operators, plain and equivariant: FNO and G-FNO."""

from collections.abc import Callable
from typing import Any, Literal, Unpack, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import FiniteGroup
from equinet.nn import Linear, Module, ModuleOptions, SpectralConvolution
from equinet.nn.activations import normalized
from equinet.ops.images import SpectralMethod
from equinet.reps import Regular, Rep, Scalar

Place = Literal["none", "cosines", "distance"]


class FNO(Module):
    r"""A map between fields on the periodic square, for any resolution.

    .. math:: h_0 = P x, \qquad
              h_{l+1} = \tfrac{1}{\sqrt 2} \big( h_l + M_l\, \sigma( K_l h_l + W_l h_l ) \big),
              \qquad y = Q\, \sigma( Q' h_L )

    K is a ``SpectralConvolution``, the other maps are ``equinet.nn.linear.Linear`` at every pixel,
    :math:`\sigma` is GELU. Hidden features transform by the regular rep of the group. It takes
    ``Images(rep_in)`` to ``Images(rep_out)``: with ``Cyclic(1)`` it is FNO, with ``Cyclic(4)`` or
    ``Dihedral(4)`` G-FNO. For a group of order n it has as many parameters as FNO if the number of
    channels is divided by :math:`\sqrt n`. Unlike in those papers a block is added to its input,
    which saves one of two GELUs: apart from the transforms they take most of the time.

    The fields of an equation that is the same everywhere need no ``place``: the network then
    commutes with translations too. Where a forcing depends on the place, the network has to know
    it, as a function that is invariant under the group: "cosines",
    :math:`\cos 2 \pi x_1 + \cos 2 \pi x_2`, is smooth on the periodic square; "distance", the
    distance from the centre, has a kink at the edges.

    Args:
        rep_in: How the values of the input transform; of ``Cyclic(n)`` or ``Dihedral(n)`` with n of
            1, 2 or 4. Vorticity is a pseudoscalar: ``antisymmetric_power(Vector(group), 2)``.
        rep_out: Rep of the values of the output, of the same group.
        channels_in: Fields in the input, such as several times.
        channels_out: Fields in the output.
        modes: Modes of the kernels in every direction.
        channels: Channels inside.
        layers: Number of blocks.
        place: "none", "cosines" or "distance".
        method: Method of the Fourier transforms, as for ``SpectralConvolution``.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is less than 1, an option unknown, or the group of a rep another.

    References:
        Li et al., FNO, arXiv:2010.08895 (2020); Helwig et al., G-FNO, arXiv:2306.05697 (2023).

    >>> from equinet.groups import Cyclic
    >>> scalar = Scalar(Cyclic(4))
    >>> model = FNO(scalar, scalar, 3, 1, modes=2, channels=4, layers=1, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((2, 8, 8, 1, 3))).shape
    (2, 8, 8, 1, 1)
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        channels_in: int,
        channels_out: int,
        *,
        modes: int = 12,
        channels: int = 10,
        layers: int = 4,
        place: Place = "none",
        method: SpectralMethod | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        group = rep_in.group
        if not isinstance(group, FiniteGroup) or rep_out.group != group:
            raise ValueError(
                "rep_in and rep_out: expected reps of one finite group such as Cyclic(4), got "
                f"{rep_in} and {rep_out}"
            )
        if min(channels_in, channels_out, modes, channels, layers) < 1:
            raise ValueError(
                "channels_in, channels_out, modes, channels and layers: expected 1 or more, got "
                f"{channels_in}, {channels_out}, {modes}, {channels} and {layers}"
            )
        if place not in get_args(Place):
            raise ValueError(f"place: got {place!r}, expected one of {get_args(Place)}")
        regular = Regular(group)
        self.rep_in, self.rep_out = rep_in, rep_out
        biased: dict[str, Any] = {"use_bias": True, "rngs": rngs, **options}
        self.place: Place = place
        self.channels_in, self.activation = channels_in, normalized(jax.nn.gelu)
        self.lift = Linear(rep_in, regular, channels_in, channels, **biased)
        self.lift_place = (
            None
            if place == "none"
            else Linear(Scalar(group), regular, 1, channels, rngs=rngs, **options)
        )
        self.blocks = nnx.List(
            [
                _FNOBlock(group, channels, modes, method=method, rngs=rngs, **options)
                for _ in range(layers)
            ]
        )
        self.hidden = Linear(regular, regular, channels, 2 * channels, **biased)
        self.head = Linear(regular, rep_out, 2 * channels, channels_out, **biased)

    def __call__(
        self, x: Float[Array, "... height width dim_in channels_in"]
    ) -> Float[Array, "... height width dim_out channels_out"]:
        """The fields of the output at the pixels of the input.

        Raises:
            ValueError: If the input has another form or too few pixels for the modes.
        """
        expected = (self.rep_in.dim, self.channels_in)
        if x.ndim < 4 or x.shape[-2:] != expected:
            raise ValueError(
                f"expected fields [..., height, width, {expected[0]}, {expected[1]}] for "
                f"{self.rep_in}, got {x.shape}"
            )
        (x,) = self.cast(x)
        h = self.lift(x.reshape(-1, *expected))
        h = h.reshape(*x.shape[:-2], *h.shape[-2:])
        if self.lift_place is not None:
            place = place_feature(self.place, *x.shape[-4:-2])
            known = self.lift_place(jnp.asarray(place[..., None, None], x.dtype))
            h = h + known.reshape((1,) * (h.ndim - known.ndim) + known.shape)
        for block in self.blocks:
            h = block(h)
        y = self.head(self.activation(self.hidden(h.reshape(-1, *h.shape[-2:]))))
        return y.reshape(*x.shape[:-2], *y.shape[-2:])


class _FNOBlock(Module):
    """A residual block: a spectral convolution plus a linear map, GELU, and a linear map.

    Args:
        group: The group of the regular rep.
        channels: Channels of input and output.
        modes: Modes of the kernel in every direction.
        method: Method of its Fourier transforms.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.
    """

    def __init__(
        self,
        group: FiniteGroup,
        channels: int,
        modes: int,
        *,
        method: SpectralMethod | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        regular, sizes = Regular(group), (channels, channels)
        self.spectral = SpectralConvolution(
            group, *sizes, modes=modes, method=method, rngs=rngs, **options
        )
        self.beside, self.after = (
            Linear(regular, regular, *sizes, use_bias=True, rngs=rngs, **options) for _ in range(2)
        )
        self.activation = normalized(jax.nn.gelu)

    def __call__(self, x: Float[Array, "... order channels"]) -> Float[Array, "... order channels"]:
        """Apply the block, which keeps the variance of its input."""
        # All in one layout, a row for each pixel: XLA writes slow loops across reshaped axes.
        rows = x.reshape(-1, x.shape[-2] * x.shape[-1])

        def at_pixels(linear: Linear, y: Array) -> Array:
            return linear(y.reshape(-1, *x.shape[-2:])).reshape(rows.shape)

        y = self.spectral(x).reshape(rows.shape) + at_pixels(self.beside, rows)
        y = at_pixels(self.after, self.activation(y * 2**-0.5))
        return ((rows + y) * 2**-0.5).reshape(x.shape)


def place_feature(place: Place, height: int, width: int) -> Float[np.ndarray, "height width"]:
    """A fixed function of position, of order one, invariant under the symmetries of the square.

    Raises:
        ValueError: If there is no such feature.

    >>> place_feature("distance", 3, 3).round(2).tolist()
    [[1.33, 0.94, 1.33], [0.94, 0.0, 0.94], [1.33, 0.94, 1.33]]
    """
    a, b = ((np.arange(size) + 0.5) / size - 0.5 for size in (height, width))
    if place == "distance":
        return np.sqrt(8) * np.hypot(a[:, None], b)
    if place != "cosines":
        raise ValueError(f"place: got {place!r}, expected 'cosines' or 'distance'")
    return np.cos(2 * np.pi * a)[:, None] + np.cos(2 * np.pi * b)


def rollout(
    step: Callable[[Array], Array], window: Float[Array, "... frames"], count: int
) -> Float[Array, "... count"]:
    """Predict later frames one after another, each from the window of frames before it.

    Args:
        step: From a window of frames to the next, ``[..., 1]``.
        window: The first frames, along the last axis.
        count: How many to predict.

    Raises:
        ValueError: If the count is less than 1.

    >>> rollout(lambda x: x[..., -1:] + x[..., :1], jnp.asarray([1.0, 1.0]), 4).tolist()
    [2.0, 3.0, 5.0, 8.0]
    """
    if count < 1:
        raise ValueError(f"count: got {count}, expected 1 or more frames to predict")

    def advance(x: Array, _: None) -> tuple[Array, Array]:
        y = step(x)
        return jnp.concatenate([x[..., 1:], y], axis=-1), y[..., 0]

    return jnp.moveaxis(jax.lax.scan(advance, window, length=count)[1], 0, -1)
