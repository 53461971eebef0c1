"""Chemical elements: symbols, atomic numbers and a model's table of the elements it knows."""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from equinet.precision import read_only

# Index = atomic number; "X" stands for a dummy atom, which is never a valid element here.
_TABLE = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb
Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf
Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS: tuple[str, ...] = tuple(_TABLE.split())


@functools.lru_cache
def _numbers_by_symbol() -> Mapping[str, int]:
    return {symbol: number for number, symbol in enumerate(SYMBOLS) if number}


def atomic_number(element: str | int) -> int:
    """Returns the atomic number of an element given by symbol or number.

    Raises:
        ValueError: If there is no such element.

    >>> atomic_number("Si"), atomic_number("si"), atomic_number(14)
    (14, 14, 14)
    """
    if isinstance(element, str):
        number = _numbers_by_symbol().get(element.strip().capitalize())
        if number is not None:
            return number
    else:
        number = operator.index(element)
        if 0 < number < len(SYMBOLS):
            return number
    raise ValueError(
        f"got {element!r}, expected an element: a symbol from 'H' to 'Og' or a number from 1 to 118"
    )


def symbols_of(numbers: Iterable[int]) -> tuple[str, ...]:
    """Returns the distinct elements among atomic numbers, as symbols in the order of the table.

    >>> symbols_of([8, 1, 1])
    ('H', 'O')
    """
    return tuple(SYMBOLS[atomic_number(int(number))] for number in sorted(set(map(int, numbers))))


@functools.lru_cache
def _species_table(elements: tuple[str | int, ...]) -> Int[np.ndarray, "119"]:
    """Returns the index of every atomic number in ``elements``, -1 where it is not among them.

    Raises:
        ValueError: If an element does not exist or stands twice in ``elements``.

    >>> _species_table(("H", "O"))[[1, 6, 8]]
    array([ 0, -1,  1], dtype=int32)
    """
    table = np.full(len(SYMBOLS), -1, np.int32)
    for index, element in enumerate(elements):
        number = atomic_number(element)
        if table[number] >= 0:
            raise ValueError(f"got elements {elements}, expected each element once")
        table[number] = index
    return read_only(table)


def species_index(
    numbers: Int[np.ndarray, "nodes"], elements: Sequence[str | int], *, source: str
) -> Int[np.ndarray, "nodes"]:
    """Returns the index of each atom's element in a model's table of elements.

    Args:
        numbers: Atomic numbers.
        elements: The elements that the model knows, symbols or atomic numbers.
        source: Name of the configuration, for the error.

    Raises:
        ValueError: If an atom's element is not in ``elements``.

    >>> species_index(np.array([8, 1, 1]), ("H", "O"), source="water")
    array([1, 0, 0], dtype=int32)
    """
    index = _species_table(tuple(elements))[numbers]
    if index.size and index.min() < 0:
        unknown = symbols_of(numbers[index < 0])
        known = tuple(SYMBOLS[atomic_number(element)] for element in elements)
        raise ValueError(
            f"{source}: has {', '.join(unknown)}, but the known elements are {', '.join(known)}; "
            "add it to the elements and train again, or leave the configuration out"
        )
    return index
