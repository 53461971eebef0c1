"""The data of the EMLP task: functions of known symmetry, drawn from a seed."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equinet.groups import Group, Lorentz, O
from equinet.reps import Rep, Scalar, Vector, equivariant_basis
from equinet.reps._terms import terms
from experiments.emlp.config import DataConfig

Features = Float[np.ndarray, "samples dim channels"]
Draw = Callable[[np.random.Generator, int], tuple[Features, Features]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function to learn.

    Attributes:
        rep_in: The representation of its input.
        channels_in: Channels of the input.
        rep_out: The representation of its value, which has one channel.
        draw: (generator, number) -> inputs and values in float64.
    """

    rep_in: Rep
    channels_in: int
    rep_out: Rep
    draw: Draw

    @property
    def group(self) -> Group:
        """The symmetry."""
        return self.rep_in.group


@dataclasses.dataclass(frozen=True)
class Split:
    """Inputs ``[samples, dim, channels]`` and values ``[samples, dim, 1]``, float32."""

    x: Features
    y: Features

    def __len__(self) -> int:
        return len(self.x)


@dataclasses.dataclass(frozen=True)
class Data:
    """Three splits, standardised alike, and how to return from standard values to real ones."""

    problem: Problem
    train: Split
    validation: Split
    test: Split
    scale: float


def inertia(rng: np.random.Generator, count: int) -> tuple[Features, Features]:
    r"""Masses and positions of 5 points to their inertia tensor.

    .. math:: I = \sum_i m_i (|r_i|^2\, 1 - r_i r_i^T), \quad m = \log(1 + e^z),\ z, r \sim N(0, 1)

    References:
        Finzi et al., arXiv:2104.09459 (2021), section 7.1.
    """
    masses = np.logaddexp(0, rng.normal(size=(count, 1, 5)))
    positions = rng.normal(size=(count, 3, 5))
    squares = np.einsum("sic,sic,sc->s", positions, positions, masses[:, 0])
    outer = np.einsum("sic,sjc,sc->sij", positions, positions, masses[:, 0])
    tensor = squares[:, None, None] * np.eye(3) - outer
    return np.concatenate([masses, positions], axis=1), tensor.reshape(count, 9, 1)


def inertia_along_z(epsilon: float) -> Draw:
    r"""The inertia tensor with a term that only rotations about z, and reflections, respect.

    .. math:: I + \epsilon\, \Big( \sum_i m_i z_i^2 \Big)\, \hat z \hat z^T

    It changes with the angle to the z axis: O(3) and the groups of the planes yz and xz are
    approximate symmetries, the group of the plane xy is an exact one.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[Features, Features]:
        x, y = inertia(rng, count)
        y[:, 8, 0] += epsilon * np.sum(x[:, 0] * x[:, 3] ** 2, axis=-1)
        return x, y

    return draw


def scattering(rng: np.random.Generator, count: int) -> tuple[Features, Features]:
    r"""Four-momenta of electron and muon, before and after, to their squared matrix element.

    .. math:: |M|^2 \propto L^{\mu \nu}(p, p')\, L_{\mu \nu}(q, q'), \quad
              L^{\mu \nu}(p, p') = p^\mu p'^\nu + p'^\mu p^\nu - (p \cdot p' - p^2)\, \eta^{\mu \nu}

    In products of momenta, with :math:`a = p \cdot p' - p^2` and :math:`b = q \cdot q' - q^2`, this
    is :math:`2 (p q)(p' q') + 2 (p q')(p' q) - 2 a (q q') - 2 b (p p') + 4 a b`. The momenta are
    normal with standard deviation 1/4 and need not be on shell: a polynomial is learned, not an
    experiment. Channels are p, p', q, q'.

    References:
        Halzen and Martin, Quarks and Leptons (1984), section 6.3; Finzi et al., arXiv:2104.09459
        (2021), section 7.1.
    """
    momenta = rng.normal(size=(count, 4, 4)) / 4
    metric = np.array([1.0, -1, -1, -1])
    dot = np.einsum("smi,m,smj->sij", momenta, metric, momenta)
    a, b = dot[:, 0, 1] - dot[:, 0, 0], dot[:, 2, 3] - dot[:, 2, 2]
    value = 2 * dot[:, 0, 2] * dot[:, 1, 3] + 2 * dot[:, 0, 3] * dot[:, 1, 2]
    value += 4 * a * b - 2 * a * dot[:, 2, 3] - 2 * b * dot[:, 0, 1]
    return momenta, value[:, None, None]


def o5(rng: np.random.Generator, count: int) -> tuple[Features, Features]:
    r"""Two vectors of R^5, standard normal, to a function of their lengths and angle.

    .. math:: f(x_1, x_2) = \sin |x_1| - \tfrac{1}{2} |x_2|^3 + \frac{x_1 \cdot x_2}{|x_1| |x_2|}

    References:
        Finzi et al., arXiv:2104.09459 (2021), section 7.1.
    """
    x = rng.normal(size=(count, 5, 2))
    length = np.linalg.norm(x, axis=1)
    cosine = np.sum(x[..., 0] * x[..., 1], axis=1) / np.prod(length, axis=1)
    value = np.sin(length[:, 0]) - length[:, 1] ** 3 / 2 + cosine
    return x, value[:, None, None]


def problem(config: DataConfig) -> Problem:
    """The problem that a config names."""
    space, time = O(3), Lorentz()
    mechanics = (Scalar(space) + Vector(space), 5, Vector(space) ** 2)
    return {
        "inertia": Problem(*mechanics, inertia),
        "inertia_soft": Problem(*mechanics, inertia_along_z(config.epsilon)),
        "scattering": Problem(Vector(time), 4, Scalar(time), scattering),
        "o5": Problem(Vector(O(5)), 2, Scalar(O(5)), o5),
    }[config.problem]


def make_data(config: DataConfig) -> Data:
    """Draws the splits, each from another seed, and standardises them.

    Values are divided by their root mean square over the training data after their invariant mean
    is taken off, inputs likewise term by term: only invariants are added and only whole terms are
    scaled, so that the symmetry stays what it was.
    """
    chosen = problem(config)
    sizes = (config.samples, config.validation, config.test)
    drawn = [
        chosen.draw(np.random.default_rng((config.seed, part)), size)
        for part, size in enumerate(sizes)
    ]
    shift_x, scale_x = _standard(chosen.rep_in, drawn[0][0])
    shift_y, scale_y = _standard(chosen.rep_out, drawn[0][1])
    splits = [
        Split(
            ((x - shift_x) / scale_x).astype(np.float32),
            ((y - shift_y) / scale_y).astype(np.float32),
        )
        for x, y in drawn
    ]
    return Data(chosen, *splits, scale=float(scale_y.max()))


def _standard(rep: Rep, x: Features) -> tuple[Features, Features]:
    """The invariant part of the mean, and the root mean square of every term; ``[1, dim, 1]``."""
    basis = equivariant_basis(Scalar(rep.group), rep)
    mean = x.mean((0, 2))
    with jax.enable_x64(True):
        shift = np.asarray(basis.project(jnp.asarray(mean)[:, None]))[None]
    scale = np.concatenate(
        [
            np.full(term.rep.dim, np.sqrt(np.mean((x - shift)[:, term.slice] ** 2)))
            for term in terms(rep)
        ]
    )
    return shift, scale[None, :, None]
