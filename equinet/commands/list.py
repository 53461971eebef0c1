"""`equinet list`: the presets and the config files."""

import argparse
from pathlib import Path

from equinet.commands._command import Command, Flags, Result, columns


def _add_flags(parser: Flags) -> None:
    parser.add_argument(
        "--folder", metavar="FOLDER", help="folder of the config files; default configs"
    )


def _run(options: argparse.Namespace) -> Result:
    from equinet.commands._listing import list_files, list_presets

    folder = Path(options.folder or "configs")
    if options.folder and not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: --folder names one with configs")
    presets = list_presets()
    files = list_files(folder) if folder.is_dir() else []
    rows = [
        {
            "config": listed.name,
            "summary": listed.summary,
            "duration": listed.duration,
            "command": _train_command(listed.name),
        }
        for listed in [*presets, *files]
    ]
    return {
        "command": "list",
        "presets": {listed.name: listed.summary for listed in presets},
        "configs": {listed.name: listed.summary for listed in files},
        "rows": rows,
    }


def _train_command(name: str) -> str:
    return f"equinet train --config={name} --workdir=runs/{Path(name).stem}"


def _table(result: Result) -> str:
    rows = [(row["config"], row["duration"], row["command"]) for row in result["rows"]]
    head, *lines = columns([("config", "time", "command"), *rows]).splitlines()
    text = [head]
    for line, row in zip(lines, result["rows"], strict=True):
        text += [line, f"    {row['summary']}"]
    last = "The keys of a config and their meaning: equinet config --config=potential"
    return "\n".join([*text, "", last])


COMMAND = Command(
    name="list",
    help="list the presets and the configs of this folder",
    add_flags=_add_flags,
    run=_run,
    table=_table,
    epilog="""\
examples:
  equinet list
  equinet list --folder=my_configs --json
""",
)
