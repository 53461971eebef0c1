"""The Fourier layer, which a finite group of the plane commutes with."""

from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import FiniteGroup
from equinet.nn.module import Module, ModuleOptions
from equinet.ops.images import SpectralMethod, rotated_kernel, spectral_convolution


class SpectralConvolution(Module):
    r"""Convolution on the periodic square with a kernel of low modes, one function for all turns.

    .. math:: y_g = \frac{1}{\sqrt{|G| C}} \sum_{g'} \psi_{g^{-1} g'}(g^{-1} \,\cdot\,) * x_{g'}

    The modes of :math:`\psi` with indices below ``modes`` are free, (2 modes - 1)^2 numbers for
    every element and every pair of channels; they start normal with variance one, and an input that
    has no other modes keeps its variance. The layer commutes with translations and, as
    ``Images(Regular(group))``, with the group; it works at every resolution that has the modes, and
    does the same there.

    Args:
        group: ``Cyclic(1)`` for FNO, ``Cyclic(4)`` for p4, ``Dihedral(4)`` for p4m.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        modes: Modes kept in every direction, the constant included.
        method: "matrix" or "fft"; None chooses by the modes.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If a size is less than 1 or the group does not map modes to modes.

    References:
        Li et al., FNO, arXiv:2010.08895 (2020); Helwig et al., G-FNO, arXiv:2306.05697 (2023).

    >>> from equinet.groups import Cyclic
    >>> layer = SpectralConvolution(Cyclic(4), 3, 5, modes=2, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((2, 8, 8, 4, 3))).shape
    (2, 8, 8, 4, 5)
    """

    def __init__(
        self,
        group: FiniteGroup,
        channels_in: int,
        channels_out: int,
        *,
        modes: int,
        method: SpectralMethod | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        if min(channels_in, channels_out, modes) < 1:
            raise ValueError(
                "channels_in, channels_out and modes: expected 1 or more, got "
                f"{channels_in}, {channels_out} and {modes}"
            )
        if not isinstance(group, FiniteGroup):
            raise ValueError(f"expected a finite group such as Cyclic(4), got {group!r}")
        self.group = group
        self.method: SpectralMethod | None = method
        self.channels_in, self.channels_out, self.modes = channels_in, channels_out, modes
        side = 2 * modes - 1
        shape = (side, side, group.order, channels_in, channels_out)
        jax.eval_shape(lambda k: rotated_kernel(k, group), jax.ShapeDtypeStruct(shape, jnp.float32))
        self.kernel = parameters.kernel(shape)

    def __call__(
        self, x: Float[Array, "... height width order channels_in"]
    ) -> Float[Array, "... height width order channels_out"]:
        """The convolution.

        Raises:
            ValueError: If the image has another form or too few pixels for the modes.
        """
        x, kernel = self.cast(x, self.kernel)
        return spectral_convolution(
            x,
            kernel,
            self.group,
            method=self.method,
            precision=self.precision,
        )
