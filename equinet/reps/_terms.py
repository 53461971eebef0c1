"""The terms of a sum of reps, one copy at a time: what nonlinearities and products work on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from equinet.reps.irreps import Irreps
from equinet.reps.rep import ProductRep, Rep, SumRep
from equinet.reps.vector import Scalar
from equinet.typing import Feature


@dataclasses.dataclass(frozen=True)
class Term:
    """One copy of one term of a sum: its rep and where it starts."""

    rep: Rep
    start: int

    @property
    def slice(self) -> slice:
        """Position on the representation axis."""
        return slice(self.start, self.start + self.rep.dim)


@functools.lru_cache(1024)
def terms(rep: Rep) -> tuple[Term, ...]:
    """All copies of all terms in order; irreps count as terms.

    >>> from equinet.groups import O
    >>> from equinet.reps import Vector
    >>> [term.start for term in terms(Scalar(O(3)) + 2 * Vector(O(3)))]
    [0, 1, 4]
    """
    found: list[Term] = []
    for copies, part in _counted(rep):
        for _ in range(copies):
            start = found[-1].slice.stop if found else 0
            inner = terms(part) if isinstance(part, SumRep | Irreps) and part != rep else ()
            found += [Term(t.rep, start + t.start) for t in inner] or [Term(part, start)]
    return tuple(found)


def split_terms(rep: Rep, x: Feature) -> list[Feature]:
    """The features of all terms; what flows back is one concatenation, not a sum of paddings."""
    ends = [term.start for term in terms(rep)][1:]
    return jnp.split(x, ends, axis=-2) if terms(rep) else []


def factors(rep: Rep) -> tuple[Rep, ...]:
    """The factors of a tensor product; a scalar has none.

    >>> from equinet.groups import O
    >>> from equinet.reps import Vector
    >>> factors(Vector(O(3)) ** 2)
    (Vector(O(3)), Vector(O(3)))
    """
    return rep.factors if isinstance(rep, ProductRep) else (rep,)


@functools.lru_cache(1024)
def is_invariant(rep: Rep) -> bool:
    """Whether every element acts as the number one.

    >>> is_invariant(Irreps("0e")), is_invariant(Irreps("0o"))
    (True, False)
    """
    if rep.dim != 1:
        return False
    if rep == Scalar(rep.group):
        return True
    with jax.ensure_compile_time_eval():
        derivative = rep.lie_matrix(jax.tree.map(jnp.asarray, rep.group.lie_algebra()))
        matrices = rep.matrix(jax.tree.map(jnp.asarray, rep.group.discrete_generators()))
        return not np.any(np.abs(derivative) > 1e-5) and not np.any(np.abs(matrices - 1) > 1e-5)


def _counted(rep: Rep) -> tuple[tuple[int, Rep], ...]:
    if isinstance(rep, SumRep):
        return rep.terms
    if isinstance(rep, Irreps):
        return tuple((mul, Irreps([(1, ir)], group=rep.group)) for mul, ir in rep)
    return ((1, rep),)
