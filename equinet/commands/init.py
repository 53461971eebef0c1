"""`equinet init`: writes a config and a task to start from."""

import argparse
from pathlib import Path

from equinet.commands._command import Command, Flags, Result

_TEMPLATES = Path(__file__).with_name("templates")


def _add_flags(parser: Flags) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        default=".",
        metavar="FOLDER",
        help="where to write; made if it is missing; default the current folder",
    )


def _run(options: argparse.Namespace) -> Result:
    folder = Path(options.folder).expanduser()
    texts = {folder / path.name: path.read_text() for path in sorted(_TEMPLATES.glob("*.py"))}
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path} exists and is not overwritten: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        shown = folder.as_posix() + "/" if folder != Path() else ""
        path.write_text(text.replace("FOLDER/", shown))
    config = (folder / "my_config.py").as_posix()
    return {
        "command": "init",
        "files": [path.as_posix() for path in texts],
        "next": f"equinet train --config={config} --workdir=runs/my_first",
    }


def _table(result: Result) -> str:
    lines = [f"wrote {path}" for path in result["files"]]
    return "\n".join([*lines, "", "They run as they are:", f"  {result['next']}"])


COMMAND = Command(
    name="init",
    help="write a config and a task to start from",
    add_flags=_add_flags,
    run=_run,
    table=_table,
    epilog="""\
example:
  equinet init my_project
  equinet train --config=my_project/my_config.py --workdir=runs/my_first
""",
)
