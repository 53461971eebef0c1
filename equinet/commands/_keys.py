"""The keys of a config as text for people."""

import textwrap
from collections.abc import Sequence
from typing import Any

_WIDTH = 96


def key_rows(config: Any) -> list[dict[str, Any]]:
    """The keys of a config: name, type, value, unit and meaning, as JSON can hold them."""
    from equinet.training import describe_config

    return [row._asdict() for row in describe_config(config)]


def format_keys(rows: Sequence[dict[str, Any]]) -> str:
    """Two lines or more a key: its name, value and type, then its meaning."""
    width = max(len(row["key"]) for row in rows)
    lines = []
    for row in rows:
        kind = f"{row['type']}, {row['unit']}" if row["unit"] else row["type"]
        lines.append(f"{row['key']:{width}}  {_shown(row['default'])}  ({kind})")
        lines.append(textwrap.indent(textwrap.fill(row["meaning"], _WIDTH), "    "))
    return "\n".join(lines)


def _shown(value: Any) -> str:
    """A value as it is written behind `--config.KEY=`."""
    return '""' if value == "" else str(_tuples(value))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
