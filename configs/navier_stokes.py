r"""How flows go on, ``navier_stokes.py:<model>``: fno, gfno_p4 or gfno_p4m, of equal parameters.

    equinet train --config=configs/navier_stokes.py:gfno_p4 --workdir=runs/flows/gfno_p4
    equinet train --config=configs/navier_stokes.py:fno --config.data.equation=shallow_water \
        --workdir=runs/flows/water

Vorticity, or height and velocity of shallow water, on 64 x 64 pixels: the next frame from the last
ones, the frames after it one after the other, and the same at 128 x 128 with the same network. The
flows are simulated first; ``--config.data.cache=DIR`` keeps them for the next run. The forcing
is one that has the symmetry of the square; ``--config.data.forcing=diagonal`` is that of FNO, which
has not. The committed table:

    for m in fno gfno_p4 gfno_p4m; do
      equinet train --config=configs/navier_stokes.py:$m --config.data.cache=runs/flows \
        --workdir=runs/flows/$m &&
      python -m experiments.report flows --add runs/flows/$m --write
    done
"""

from ml_collections import ConfigDict

DURATION = "15 minutes on 1 core"

MODELS = ("fno", "gfno_p4", "gfno_p4m")


def get_config(model: str = "gfno_p4") -> ConfigDict:
    """Schedules that end within a quarter of an hour on one core."""
    if model not in MODELS:
        raise ValueError(f"navier_stokes.py:<model> is one of {', '.join(MODELS)}, got {model!r}")
    config = ConfigDict()
    config.task = "experiments.flows.task:FlowTask"
    config.model = {"name": model}
    config.training = {
        "steps": 2500,
        "batch_size": 8,
        "learning_rate": 2e-2,
        "warmup_steps": 100,
        "gradient_clip_norm": 1.0,
        "ema_decay": 0.99,
        "log_every": 100,
        "validate_every": 500,
        "checkpoint_every": 1000,
    }
    return config
