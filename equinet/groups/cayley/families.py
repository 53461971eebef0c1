"""Cayley graphs by their generators: the families that the literature names, and any other."""

import dataclasses
import difflib
import functools
import itertools
import math
from collections.abc import Callable, Sequence

Word = tuple[int, ...]
"""One number for every position."""

_LARGEST_N = 64  # far above what a search can hold; generators of all families stay few


@dataclasses.dataclass(frozen=True)
class CayleyGraph:
    """The Cayley graph of a group of permutations, whose positions may also carry twists.

    A state is an arrangement s of the values 0, ..., n-1, with a twist (a number modulo
    ``modulus``) at every position. The neighbour by the generator (p, d) has the value ``s[p[i]]``
    at position i, and the twist of position ``p[i]`` plus ``d[i]``. Signed permutations have
    modulus 2, the corners of a cube modulus 3.

    Args:
        permutations: The generators, each a permutation of 0, ..., n-1.
        twists: Their twists, n numbers for each; none where they are left out.
        modulus: What twists are counted modulo.
        order: Number of states, where it is known; a search checks it.
        name: What to call the graph.

    Raises:
        ValueError: If there is no generator, or one is not a permutation of 0, ..., n-1 with n
            twists, or the modulus is not positive.

    Example:
        >>> graph = CayleyGraph([[1, 2, 0], [1, 0, 2]])
        >>> graph.n, graph.inverse_closed, graph.capacity
        (3, False, 6)
    """

    permutations: Sequence[Sequence[int]]
    twists: Sequence[Sequence[int]] = ()
    modulus: int = 1
    order: int | None = None
    name: str = "user"

    def __post_init__(self) -> None:
        permutations = tuple(tuple(int(i) for i in p) for p in self.permutations)
        if not permutations or not permutations[0]:
            raise ValueError("got no generators, expected at least one permutation of 0, ..., n-1")
        if self.modulus < 1:
            raise ValueError(f"got modulus {self.modulus}, expected a positive integer")
        n = len(permutations[0])
        for position, p in enumerate(permutations):
            if sorted(p) != list(range(n)):
                raise ValueError(
                    f"generator {position}: got {p}, expected a permutation of 0..{n - 1}"
                )
        zeros = (0,) * n
        given = self.twists if len(self.twists) else (zeros,) * len(permutations)
        twists = tuple(tuple(int(d) % self.modulus for d in twist) for twist in given)
        if [len(twist) for twist in twists] != [n] * len(permutations):
            raise ValueError(f"got twists {twists}, expected {n} numbers for every generator")
        object.__setattr__(self, "permutations", permutations)
        object.__setattr__(self, "twists", twists)

    @property
    def n(self) -> int:
        """Number of positions."""
        return len(self.permutations[0])

    @property
    def generators(self) -> tuple[tuple[Word, Word], ...]:
        """The distinct pairs of a permutation and its twist."""
        pairs = zip(self.permutations, self.twists, strict=True)
        return tuple(dict.fromkeys((tuple(p), tuple(d)) for p, d in pairs))

    @property
    def inverse_closed(self) -> bool:
        """Whether the inverse of every generator is one: then the graph is undirected."""
        have = set(self.generators)
        return all(inverse(generator, self.modulus) in have for generator in have)

    @property
    def zero_sum(self) -> bool:
        """Whether the twists of every state add up to zero."""
        return all(sum(twist) % self.modulus == 0 for twist in self.twists)

    @property
    def capacity(self) -> int:
        """A number that the order divides: all arrangements with all twists, half if all even."""
        states = math.factorial(self.n) * self.modulus ** (self.n - self.zero_sum)
        return states // 2 if self.n > 1 and all(map(_is_even, self.permutations)) else states


@dataclasses.dataclass(frozen=True)
class Family:
    """Generators that depend on n.

    Attributes:
        help: What the generators are.
        smallest: The least n; None where the family has no n.
        permutations: The generators for n.
        order: Number of states for n.
        modulus: What twists are counted modulo.
        twists: The twists of the generators for n; none where it is left out.
        closed_form: Layer sizes for n, where a formula is known.
    """

    help: str
    smallest: int | None
    permutations: Callable[[int], list[Word]]
    order: Callable[[int], int] = math.factorial
    modulus: int = 1
    twists: Callable[[int], list[Word]] = lambda n: []
    closed_form: Callable[[int], list[int]] | None = None


def cayley_graph(family: str, n: int | None = None) -> CayleyGraph:
    """A named Cayley graph; with the definitions of CayleyPy (arXiv 2509.19162).

    Args:
        family: A name of `FAMILIES`.
        n: Number of things that are permuted; left out for a cube.

    Raises:
        ValueError: If there is no such family, or n is missing, too small or not wanted.

    Example:
        >>> cayley_graph("lrx", 4).permutations
        ((1, 2, 3, 0), (3, 0, 1, 2), (1, 0, 2, 3))
    """
    found, n = _find(family, n)
    if n > _LARGEST_N:
        raise ValueError(f"family {family}: got n={n}, expected at most {_LARGEST_N}")
    return CayleyGraph(
        found.permutations(n),
        found.twists(n),
        found.modulus,
        order=found.order(n),
        name=family if found.smallest is None else f"{family}-{n}",
    )


def closed_form(family: str, n: int | None = None) -> list[int]:
    """Layer sizes of a family by its formula, for every n.

    ``coxeter``: the Mahonian numbers, coefficients of ``prod_i (1 + q + ... + q^i)``;
    ``all_transpositions``: the unsigned Stirling numbers of the first kind, coefficients of
    ``prod_i (1 + i q)``; both products over i < n.

    Args:
        family: A name of `FAMILIES` whose ``closed_form`` is not None.
        n: Number of things that are permuted.

    Raises:
        ValueError: If the family has no formula, or as `cayley_graph` raises.

    Example:
        >>> closed_form("coxeter", 4), closed_form("all_transpositions", 4)
        ([1, 3, 5, 6, 5, 3, 1], [1, 6, 11, 6])
    """
    found, n = _find(family, n)
    if found.closed_form is None:
        known = ", ".join(name for name, one in FAMILIES.items() if one.closed_form)
        raise ValueError(f"family {family} has no closed form (only {known}): search instead")
    return found.closed_form(n)


def compose(first: tuple[Word, Word], then: tuple[Word, Word], modulus: int) -> tuple[Word, Word]:
    """The generator that does ``first`` and ``then`` one after the other."""
    (p, d), (q, e) = first, then
    return tuple(p[i] for i in q), tuple((d[i] + x) % modulus for i, x in zip(q, e, strict=True))


def inverse(generator: tuple[Word, Word], modulus: int) -> tuple[Word, Word]:
    """The generator that takes back what this one does."""
    p, d = generator
    back = tuple(sorted(range(len(p)), key=p.__getitem__))
    return back, tuple(-d[i] % modulus for i in back)


def _find(family: str, n: int | None) -> tuple[Family, int]:
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"expected {', '.join(FAMILIES)}"
        raise ValueError(f"no family {family!r}: {hint}")
    found = FAMILIES[family]
    if found.smallest is None:
        if n is not None:
            raise ValueError(f"family {family} has one size: got n={n}, leave n out")
        return found, 0
    if n is None or n < found.smallest:
        raise ValueError(f"family {family}: got n={n}, expected n >= {found.smallest}")
    return found, n


def _is_even(p: Sequence[int]) -> bool:
    return sum(a > b for a, b in itertools.combinations(p, 2)) % 2 == 0


def _swap(n: int, i: int, j: int) -> Word:
    return tuple({i: j, j: i}.get(k, k) for k in range(n))


def _reversal(n: int, start: int, stop: int) -> Word:
    return (*range(start), *reversed(range(start, stop)), *range(stop, n))


def _rotations(n: int) -> list[Word]:
    return [(*range(1, n), 0), (n - 1, *range(n - 1))]


def _quarter_turns() -> list[tuple[Word, Word]]:
    """The faces U, R and F and their inverses; the corner DBL stays.

    Corners: URF, UFL, ULB, UBR, DFR, DLF, DRB.
    """
    faces = [
        ((3, 0, 1, 2, 4, 5, 6), (0, 0, 0, 0, 0, 0, 0)),
        ((4, 1, 2, 0, 6, 5, 3), (2, 0, 0, 1, 1, 0, 2)),
        ((1, 5, 2, 3, 0, 4, 6), (1, 2, 0, 0, 2, 1, 0)),
    ]
    return [turn for face in faces for turn in (face, inverse(face, 3))]


def _half_turns() -> list[tuple[Word, Word]]:
    quarters = _quarter_turns()
    return quarters + [compose(face, face, 3) for face in quarters[::2]]


def _top_spin_order(n: int) -> int:
    if n < 6:  # rotations and reversals of a circle: a dihedral group
        return 2 * n
    return math.factorial(n) // (1 + n % 2)


def _times(layers: list[int], factor: list[int]) -> list[int]:
    """Product of two polynomials."""
    product = [0] * (len(layers) + len(factor) - 1)
    for i, a in enumerate(factor):
        for j, b in enumerate(layers):
            product[i + j] += a * b
    return product


def _mahonian(n: int) -> list[int]:
    return functools.reduce(_times, ([1] * i for i in range(2, n + 1)), [1])


def _stirling(n: int) -> list[int]:
    return functools.reduce(_times, ([1, i] for i in range(1, n)), [1])


FAMILIES: dict[str, Family] = {
    "lrx": Family(
        "rotate left, rotate right, swap the first two",
        3,
        lambda n: [*_rotations(n), _swap(n, 0, 1)],
    ),
    "lx": Family(
        "rotate left, swap the first two", 3, lambda n: [_rotations(n)[0], _swap(n, 0, 1)]
    ),
    "pancake": Family(
        "reverse a prefix", 2, lambda n: [_reversal(n, 0, size) for size in range(2, n + 1)]
    ),
    "burnt_pancake": Family(
        "reverse a prefix and the signs in it",
        1,
        lambda n: [_reversal(n, 0, size) for size in range(1, n + 1)],
        lambda n: 2**n * math.factorial(n),
        modulus=2,
        twists=lambda n: [(1,) * size + (0,) * (n - size) for size in range(1, n + 1)],
    ),
    "coxeter": Family(
        "swap neighbours",
        2,
        lambda n: [_swap(n, i, i + 1) for i in range(n - 1)],
        closed_form=_mahonian,
    ),
    "stars": Family(
        "swap the first with another", 3, lambda n: [_swap(n, 0, i) for i in range(1, n)]
    ),
    "all_transpositions": Family(
        "swap any two",
        2,
        lambda n: [_swap(n, i, j) for i, j in itertools.combinations(range(n), 2)],
        closed_form=_stirling,
    ),
    "full_reversals": Family(
        "reverse any interval",
        2,
        lambda n: [_reversal(n, i, j + 1) for i, j in itertools.combinations(range(n), 2)],
    ),
    "top_spin": Family(
        "rotate left, rotate right, reverse the first four",
        4,
        lambda n: [*_rotations(n), _reversal(n, 0, 4)],
        _top_spin_order,
    ),
    "cube222_htm": Family(
        "the 2x2x2 cube with a corner held, quarter and half turns",
        None,
        lambda n: [p for p, _ in _half_turns()],
        lambda n: 3_674_160,
        modulus=3,
        twists=lambda n: [d for _, d in _half_turns()],
    ),
    "cube222_qtm": Family(
        "the 2x2x2 cube with a corner held, quarter turns",
        None,
        lambda n: [p for p, _ in _quarter_turns()],
        lambda n: 3_674_160,
        modulus=3,
        twists=lambda n: [d for _, d in _quarter_turns()],
    ),
}
