"""Groups of matrices that keep a bilinear form."""

import abc

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.group import HIGHEST, MatrixLieGroup, candidates, differs
from equinet.typing import Matrix


class FormGroup(MatrixLieGroup, abc.ABC):
    """The matrices g with g^T F g = F for an orthogonal matrix F, the form."""

    @property
    @abc.abstractmethod
    def form(self) -> Float[np.ndarray, "n n"]:
        """The matrix F: read-only float64 numpy."""

    @property
    def matrix_dim(self) -> int:
        """Number of rows of an element."""
        return len(self.form)

    def inverse(self, g: Matrix) -> Matrix:
        """F^-1 g^T F: no equations are solved."""
        form = jnp.asarray(self.form, g.dtype)
        return jnp.einsum("ji,...kj,kl->...il", form, g, form, precision=HIGHEST)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether g^T F g = F; ``atol`` grows with the square of the largest entry above 1."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != self.form.shape:
            return jnp.zeros(g.shape[:-2], bool)
        form = jnp.asarray(self.form, g.dtype)
        kept = jnp.einsum("...ji,jk,...kl->...il", g, form, g, precision=HIGHEST)
        size = jnp.maximum(jnp.abs(g).max((-2, -1), keepdims=True), 1)
        error = (kept - jnp.broadcast_to(form, kept.shape)) / size**2
        return ~differs(error, np.zeros(form.shape), atol)
