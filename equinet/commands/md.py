"""`equinet md`: molecular dynamics with a trained potential."""

import argparse

from equinet.commands._command import Command, Flags, Result, add_progress, add_workdir


def _add_flags(parser: Flags) -> None:
    add_workdir(parser, "the folder of a trained potential")
    parser.add_argument(
        "--ensemble",
        choices=("nve", "nvt"),
        default="nve",
        help="nve: constant energy (velocity Verlet); nvt: constant temperature (Langevin); "
        "default nve",
    )
    _number(parser, "--temperature", float, 300.0, "temperature in kelvin")
    _number(parser, "--timestep_fs", float, 0.5, "time step in femtoseconds")
    _number(parser, "--steps", int, 20_000, "number of steps")
    _number(parser, "--friction_per_fs", float, 0.01, "friction of the thermostat in 1/fs")
    _number(parser, "--seed", int, 0, "seed of the velocities and of the thermostat")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="extended XYZ file whose first configuration is the start; without it, the start is "
        "the first test configuration of the training",
    )
    parser.add_argument(
        "--trajectory",
        metavar="FILE",
        help="file of the trajectory: .xyz or .extxyz (extended XYZ) or .traj (ASE); default "
        "md_ENSEMBLE.xyz in the workdir",
    )
    _number(parser, "--log_every", int, 100, "steps between two configurations of the trajectory")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="floating-point type of the potential; default float32",
    )
    add_progress(parser)


def _number(parser: Flags, flag: str, kind: type, default: float, help: str) -> None:
    text = f"{help}; default {default}"
    parser.add_argument(flag, type=kind, default=default, metavar="NUMBER", help=text)


def _run(options: argparse.Namespace) -> Result:
    from equinet.potentials import run_md

    names = ("workdir", "ensemble", "temperature", "timestep_fs", "steps", "friction_per_fs")
    names += ("seed", "data", "trajectory", "log_every", "dtype")
    return run_md(**{name: getattr(options, name) for name in names})


COMMAND = Command(
    name="md",
    help="run molecular dynamics with a trained potential",
    add_flags=_add_flags,
    run=_run,
    epilog="""\
examples:
  equinet md --workdir=runs/ethanol --ensemble=nvt --temperature=300 --steps=2000
  equinet md --workdir=runs/ethanol --data=start.xyz --trajectory=run.xyz
""",
)
