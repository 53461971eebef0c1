r"""Later positions of interacting particles, ``nbody.py:<model>``: egnn, fa_gnn, cg or ponita.

    equinet train --config=configs/nbody.py:egnn --config.data_dir=DIR --workdir=runs/nbody/egnn
    equinet train --config=configs/nbody.py:fa_gnn --config.data.source=simulate \
        --config.data.kind=gravity --config.data.bodies=7 --workdir=runs/nbody/gravity

From the positions, velocities and charges of five particles their positions one unit of time later:
``DIR/nbody/charged5.npz`` holds the data of EGNN (Satorras et al., arXiv:2102.09844), of whose 3000
training systems the first 2700 are trained on and the last 300 select; its 2000 others are the
test. ``--config.data.source=simulate`` needs no file: any number of charges, springs or masses. The
committed table (what is finished is kept):

    for m in egnn fa_gnn cg ponita; do
      equinet train --config=configs/nbody.py:$m --workdir=runs/nbody/$m &&
      python -m experiments.report nbody --add runs/nbody/$m --write
    done
"""

from ml_collections import ConfigDict

DURATION = "20 minutes on 1 core"

SCHEDULES = {  # training steps, learning rate, systems of a batch
    "egnn": (12_000, 5e-3, 100),
    "fa_gnn": (20_000, 2e-2, 25),
    "cg": (6_000, 1e-2, 25),
    "ponita": (20_000, 2e-2, 25),
}


def get_config(model: str = "egnn") -> ConfigDict:
    """Sizes and schedules that end within 20 minutes on one core."""
    if model not in SCHEDULES:
        raise ValueError(f"nbody.py:<model> is one of {', '.join(SCHEDULES)}, got {model!r}")
    steps, rate, batch_size = SCHEDULES[model]
    config = ConfigDict()
    config.task = "experiments.nbody.task:NBodyTask"
    config.data = {"augment": model == "ponita"}
    config.model = {"name": model}
    config.training = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": rate,
        "warmup_steps": 500,
        "gradient_clip_norm": 1.0,
        "ema_decay": 0.999,
        "log_every": 500,
        "validate_every": 1000,
        "checkpoint_every": 5000,
    }
    return config
