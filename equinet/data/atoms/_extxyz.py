"""Extended XYZ files: a strict reader, and a writer without rounding.

The format: for each configuration a line with the number of atoms, a line of ``key=value`` pairs,
and a line of columns per atom. ``Properties=species:S:1:pos:R:3:forces:R:3`` names the columns,
``Lattice`` holds the nine numbers of the cell's rows, ``pbc`` three letters T or F.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from equinet.data.atoms.elements import SYMBOLS, atomic_number

_PAIR = re.compile(
    r"""(?P<key>"[^"]*"|[^\s="']+)\s*=\s*
        (?P<value>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}|\[[^=]*\]|[^\s"']+)""",
    re.VERBOSE,
)
_DEFAULT_PROPERTIES = "species:S:1:pos:R:3"
_TRUE, _FALSE = ("t", "true", "1"), ("f", "false", "0")


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One configuration as written in a file, without interpretation of its labels.

    Attributes:
        numbers: Atomic numbers, ``[nodes]``.
        positions: Positions in angstrom, ``[nodes, 3]``.
        cell: Cell vectors in rows in angstrom, ``[3, 3]``; zeros if the file has none.
        pbc: Directions in which the cell repeats.
        labels: All other values by their keys: text, numbers and columns.
    """

    numbers: Int[np.ndarray, "nodes"]
    positions: Float[np.ndarray, "nodes 3"]
    cell: Float[np.ndarray, "3 3"]
    pbc: tuple[bool, bool, bool]
    labels: Mapping[str, Any]


def read_records(path: Path) -> Iterator[Record]:
    """Yields the configurations of an extended XYZ file, in order.

    Raises:
        ValueError: If the file is not text or is truncated, or a line is malformed; the message
            contains the file, the configuration and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ValueError(f"{path}: expected a text file in extended XYZ ({error})") from error
    lines = text.splitlines()
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    start = configuration = 0
    while start < end:
        where = f"{path} configuration {configuration} (line {start + 1})"
        count = _count(lines[start], where)
        rows = lines[start + 2 : min(start + 2 + count, end)]
        if len(rows) < count:
            raise ValueError(
                f"{where}: announces {count} atoms, but the file ends after {len(rows)}: it is cut "
                "off; get it again, or remove the incomplete configuration"
            )
        start += 2 + count
        last = start == end and end == len(lines) and not text.endswith(("\n", "\r"))
        yield _parse(lines[start - count - 1], rows, where, unended=last)
        configuration += 1


def _count(line: str, where: str) -> int:
    try:
        count = int(line)
    except ValueError:
        raise ValueError(
            f"{where}: got {line[:60]!r}, expected the next number of atoms; the "
            "configuration before may have more or fewer lines than it announces"
        ) from None
    if count < 1:
        raise ValueError(f"{where}: has {count} atoms, expected at least one")
    return count


def _parse(comment: str, rows: list[str], where: str, *, unended: bool) -> Record:
    pairs = {m["key"].strip('"'): _unquoted(m["value"]) for m in _PAIR.finditer(comment)}
    columns = _columns(pairs.pop("Properties", _DEFAULT_PROPERTIES), where)
    table = [row.split() for row in rows]
    width = max(columns_of.stop for _, columns_of in columns.values())
    for atom, row in enumerate(table):
        if len(row) < width:
            raise ValueError(
                f"{where}: atom {atom} has {len(row)} columns, expected {width} ({rows[atom]!r}): "
                "the line is malformed or cut off"
            )
    if unended:
        _check_last_number(table, where)
    arrays = {name: _column(table, *spec, f"{where}: {name}") for name, spec in columns.items()}
    numbers, positions = _elements(arrays, where), arrays.pop("pos", None)
    if positions is None or positions.shape != (len(rows), 3):
        raise ValueError(f"{where}: expected the column pos:R:3 in Properties")
    cell, pbc = _lattice(pairs, where)
    info = {key: _value(value) for key, value in pairs.items()}
    return Record(numbers, positions, cell, pbc, {**info, **arrays})


def _columns(properties: str, where: str) -> dict[str, tuple[str, slice]]:
    fields = properties.split(":")
    try:
        counts = [int(count) for count in fields[2::3]]
        if len(fields) % 3 or set(fields[1::3]) - set("SRIL") or min(counts) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{where}: got Properties={properties!r}, expected name:type:columns with the types "
            f"S, R, I or L, such as {_DEFAULT_PROPERTIES}"
        ) from None
    stops = np.cumsum(counts).tolist()
    return {
        name: (kind, slice(stop - count, stop))
        for name, kind, count, stop in zip(fields[::3], fields[1::3], counts, stops, strict=True)
    }


def _column(table: list[list[str]], kind: str, columns: slice, what: str) -> np.ndarray:
    words = [row[columns] for row in table]
    if kind in "SL":
        values = np.array(words)
    else:
        try:
            values = np.array([[float(word) for word in row] for row in words])
        except ValueError as error:
            raise ValueError(f"{what}: {error}, expected numbers") from None
    return values[:, 0] if values.shape[1] == 1 else values


def _elements(arrays: dict[str, np.ndarray], where: str) -> Int[np.ndarray, "nodes"]:
    species, numbers = arrays.pop("species", None), arrays.pop("Z", None)
    try:
        if species is not None:
            return np.array([atomic_number(symbol) for symbol in species.tolist()])
        if numbers is not None:
            return np.array([atomic_number(int(number)) for number in numbers])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    raise ValueError(f"{where}: expected the column species:S:1 or Z:I:1 in Properties")


def _lattice(
    pairs: dict[str, str], where: str
) -> tuple[Float[np.ndarray, "3 3"], tuple[bool, bool, bool]]:
    lattice, pbc = pairs.pop("Lattice", None), pairs.pop("pbc", None)
    cell = np.zeros((3, 3))
    if lattice is not None:
        numbers = _value(lattice)
        if not isinstance(numbers, np.ndarray) or numbers.size != 9:
            raise ValueError(f"{where}: got Lattice={lattice!r}, expected nine numbers")
        cell = numbers.reshape(3, 3)
    if pbc is None:
        periodic = lattice is not None
        return cell, (periodic, periodic, periodic)
    flags = re.sub(r"[\[\],]", " ", pbc).lower().split()
    if len(flags) != 3 or any(flag not in _TRUE + _FALSE for flag in flags):
        raise ValueError(f'{where}: got pbc={pbc!r}, expected three flags such as "T T F"')
    first, second, third = (flag in _TRUE for flag in flags)
    return cell, (first, second, third)


def _check_last_number(table: list[list[str]], where: str) -> None:
    """Rejects a truncated last number: without a line end, and with fewer decimals than others."""
    others = [row[-1] for row in table[:-1]] + table[-1][1:-1]
    decimals = [len(word.partition(".")[2]) for word in others]
    if decimals and len(table[-1][-1].partition(".")[2]) < min(decimals):
        raise ValueError(
            f"{where}: the file ends in the number {table[-1][-1]!r} without a line end: it is cut "
            "off; get it again (if it is complete, end its last line)"
        )


def _unquoted(value: str) -> str:
    if value[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value[1:-1] if value[0] in "{[" else value


def _value(text: str) -> Any:
    words = re.sub(r"[\[\],]", " ", text.removeprefix("_JSON")).split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return text
    if not numbers:
        return text
    return numbers[0] if len(numbers) == 1 else np.array(numbers)


def format_record(
    *,
    numbers: Int[np.ndarray, "nodes"],
    positions: Float[np.ndarray, "nodes 3"],
    cell: Float[np.ndarray, "3 3"] | None,
    pbc: tuple[bool, bool, bool],
    energy: float | None,
    forces: Float[np.ndarray, "nodes 3"] | None,
    stress: Float[np.ndarray, "3 3"] | None,
) -> str:
    """Returns one configuration as text, from which the same float64 numbers are read.

    >>> print(format_record(numbers=np.array([1]), positions=np.zeros((1, 3)), cell=None,
    ...     pbc=(False, False, False), energy=-0.1, forces=None, stress=None), end="")
    1
    Properties=species:S:1:pos:R:3 energy=-0.1 pbc="F F F"
    H 0.0 0.0 0.0
    """
    header = [f"Properties={_DEFAULT_PROPERTIES}" + (":forces:R:3" if forces is not None else "")]
    if cell is not None:
        header.insert(0, f'Lattice="{_numbers(cell)}"')
    if energy is not None:
        header.append(f"energy={float(energy)!r}")
    if stress is not None:
        header.append(f'stress="{_numbers(stress)}"')
    header.append('pbc="' + " ".join("FT"[direction] for direction in pbc) + '"')
    table = positions if forces is None else np.concatenate([positions, forces], axis=1)
    rows = (
        f"{SYMBOLS[number]} {_numbers(row)}" for number, row in zip(numbers, table, strict=True)
    )
    return "\n".join([str(len(numbers)), " ".join(header), *rows, ""])


def _numbers(values: np.ndarray) -> str:
    return " ".join(map(repr, np.ravel(values).tolist()))
