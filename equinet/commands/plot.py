"""`equinet plot`: pictures of a training."""

import argparse
from pathlib import Path

from equinet.commands._command import Command, Flags, Result, add_progress, add_workdir


def _add_flags(parser: Flags) -> None:
    add_workdir(parser, "the folder of a training")
    parser.add_argument(
        "--output", metavar="FOLDER", help="where to write; default figures/ in the workdir"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="predict for this file instead of the test split"
    )
    parser.add_argument(
        "--curves-only", action="store_true", help="draw the learning curves only: no prediction"
    )
    add_progress(parser)


def _run(options: argparse.Namespace) -> Result:
    from equinet.commands._figures import draw_figures

    folder = Path(options.output or Path(options.workdir) / "figures").expanduser()
    figures = draw_figures(
        options.workdir, folder, data=options.data, predict=not options.curves_only
    )
    return {"command": "plot", "workdir": options.workdir, "figures": figures}


def _table(result: Result) -> str:
    return "\n".join(f"wrote {path}" for path in result["figures"])


COMMAND = Command(
    name="plot",
    help="draw the learning curves and the predictions of a training",
    add_flags=_add_flags,
    run=_run,
    table=_table,
    epilog="""\
Writes each figure as PNG and SVG. Needs matplotlib: pip install 'equinet-jax[plots]'

examples:
  equinet plot --workdir=runs/ethanol
  equinet plot --workdir=runs/ethanol --data=other.xyz --output=pictures
""",
)
