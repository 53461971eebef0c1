"""`equinet config`: every key of a config, with its value, type, unit and meaning."""

import argparse

from equinet.commands._command import Command, Flags, Result, add_config
from equinet.commands._keys import format_keys, key_rows


def _run(options: argparse.Namespace) -> Result:
    from equinet.training import load_config

    config = load_config(options.config, options.overrides)
    return {"command": "config", "config": options.config, "keys": key_rows(config)}


def _table(result: Result) -> str:
    return format_keys(result["keys"])


def _add_flags(parser: Flags) -> None:
    add_config(parser)


COMMAND = Command(
    name="config",
    help="list the keys of a config with value, type, unit and meaning; nothing is trained",
    add_flags=_add_flags,
    run=_run,
    table=_table,
    overrides=True,
    epilog="""\
--config.KEY=VALUE sets a key, as for `equinet train`, so that this is also a dry run.

examples:
  equinet config --config=potential
  equinet config --config=potential --config.data.source=files --config.data.train=my.xyz
""",
)
