"""`equinet train`: trains a config, or resumes the run of a folder."""

import argparse
from collections.abc import Sequence

from equinet.commands._command import (
    Command,
    Flags,
    Result,
    add_config,
    add_progress,
    add_workdir,
)
from equinet.commands._keys import format_keys, key_rows


def _add_flags(parser: Flags) -> None:
    add_config(parser)
    add_workdir(parser, "the folder of the run; a run that it holds is resumed")
    add_progress(parser)


def _run(options: argparse.Namespace) -> Result:
    from equinet.training import load_config, train

    config = load_config(options.config, options.overrides)
    return train(config, options.workdir, source=options.config, progress=options.progress)


def _keys(words: Sequence[str]) -> str:
    """The keys of the config that the words name; without one, those that every config has."""
    from equinet.training import TaskConfig, load_config

    named = [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    if named:
        return f"keys of {named[-1]}:\n\n" + format_keys(key_rows(load_config(named[-1])))
    text = format_keys(key_rows(TaskConfig()))
    return (
        f"keys that every config has:\n\n{text}\n\n"
        "The keys of one config: equinet train --config=potential --help"
    )


COMMAND = Command(
    name="train",
    help="train a config, or resume the run of a folder",
    add_flags=_add_flags,
    run=_run,
    overrides=True,
    more_help=_keys,
    epilog="""\
--config.KEY=VALUE sets a key of the config. The same command again resumes a run that was stopped.

examples:
  equinet train --config=potential --workdir=runs/ethanol
  equinet train --config=potential --workdir=runs/acetone --config.data.smiles='CC(=O)C'
  equinet train --config=potential --workdir=runs/short --config.training.steps=500
""",
)
