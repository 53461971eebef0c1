"""What the command of every benchmark shares: its arguments, rows, table and file.

A row has the keys `benchmark`, `case`, `library`, `version`, `direction`, `part`, `median_ms`,
`p10_ms`, `p90_ms`, `compile_s`, `temp_mb`, `peak_mb`, `floor_ms`, `ratio_to_equinet` and
`parameters`; one that could not be measured has `error` in place of the numbers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinet
from equinet.files import write_atomically

OURS = "equinet"
Row = dict[str, Any]


def version_of(library: str) -> str:
    """The version of an installed library; the distribution of ours has another name."""
    return equinet.__version__ if library == OURS else importlib.metadata.version(library)


def table(rows: Sequence[Row]) -> str:
    """The rows as a markdown table; what all cases share stands above, what failed below."""
    cases = [row["case"] for row in rows]
    shared = {k: v for k, v in cases[0].items() if all(k in c and c[k] == v for c in cases)}
    heads = ["case", "library", "direction", "median ms", "p10 to p90", "ratio", "compile s"]
    heads += ["temp MB", "peak MB", "of ceiling", "parameters"]
    lines, failed = [heads], []
    for row in rows:
        case = case_text({k: v for k, v in row["case"].items() if k not in shared})
        direction = " ".join(filter(None, [row["direction"], row.get("part")]))
        first = [case or "all", row["library"], direction]
        if "error" in row:
            failed.append(f"{', '.join(first)}: not measured: {row['error']}")
            continue
        share = row["floor_ms"] and f"{100 * row['floor_ms'] / row['median_ms']:.0f} %"
        numbers = [short(row[k]) for k in ("ratio_to_equinet", "compile_s", "temp_mb", "peak_mb")]
        spread = f"{short(row['p10_ms'])} to {short(row['p90_ms'])}"
        parameters = row.get("parameters")
        last = [share or "-", "-" if parameters is None else f"{parameters:,}"]
        lines.append([*first, short(row["median_ms"]), spread, *numbers, *last])
    above = f"{rows[0]['benchmark']}: {case_text(shared)}".rstrip(": ")
    return "\n".join([above, "", markdown(lines), *([""] if failed else []), *failed])


def case_text(case: Mapping[str, Any]) -> str:
    """A case in words.

    >>> case_text({"size": "mace", "atoms": 27})
    'mace, atoms=27'
    """
    return ", ".join(v if isinstance(v, str) else f"{k}={v}" for k, v in case.items())


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A markdown table with aligned columns; the first line is its head.

    >>> print(markdown([["a", "b"], ["1", "234"]]))
    | a   | b   |
    | --- | --- |
    | 1   | 234 |
    """
    head, *body = lines
    lines = [head, ["---"] * len(head), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ([c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def short(value: float | None) -> str:
    """Three significant digits; large numbers whole.

    >>> short(1234.5), short(0.012345), short(None)
    ('1234', '0.0123', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def report(rows: Sequence[Row], file: pathlib.Path | None) -> None:
    """Prints the table and writes the rows to `file`, one JSON object a line."""
    sys.stdout.write(table(rows) + "\n")
    if file is not None:
        write(rows, file)


def write(rows: Sequence[Row], file: pathlib.Path) -> None:
    """Writes the rows to `file`, one JSON object a line."""
    write_atomically(file, "".join(json.dumps(row) + "\n" for row in rows))


def parser(description: str, peers: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes: `--peers a,b`, `--json FILE`, `--repeats N`."""
    words = argparse.ArgumentParser(description=description)
    words.add_argument(
        "--peers",
        type=lambda text: [] if text == "none" else some_of(peers)(text),
        default=list(peers),
        metavar="a,b",
        help=f"some of {','.join(peers)}, or none",
    )
    words.add_argument("--json", type=pathlib.Path, help="write the rows to this file")
    words.add_argument("--repeats", type=int, default=20)
    return words


def some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A type for `argparse`: words of `known`, separated by commas.

    >>> some_of(["nequip", "nequix"])("nequix")
    ['nequix']
    """

    def read(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = sorted(set(names) - set(known))
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"got {unknown}, expected some of {list(known)}")
        return names

    return read
