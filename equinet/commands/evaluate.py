"""`equinet evaluate`: the report on a trained model."""

import argparse

from equinet.commands._command import Command, Flags, Result, add_progress, add_workdir


def _add_flags(parser: Flags) -> None:
    add_workdir(parser, "the folder of a training")
    parser.add_argument(
        "--data", metavar="FILE", help="evaluate on this file instead of the test split"
    )
    add_progress(parser)


def _run(options: argparse.Namespace) -> Result:
    from equinet.training import evaluate

    return evaluate(options.workdir, options.data)


COMMAND = Command(
    name="evaluate",
    help="report the errors of a trained model",
    add_flags=_add_flags,
    run=_run,
    epilog="""\
examples:
  equinet evaluate --workdir=runs/ethanol
  equinet evaluate --workdir=runs/ethanol --data=other.xyz
""",
)
