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
      python -m experiments.report nbody --add runs/nbody/$m
    done
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

SIZES: dict[str, dict[str, Any]] = {
    "egnn": {"channels": 64, "layers": 4},
    "fa_gnn": {"channels": 60, "layers": 4},
    "cg": {"channels": 32, "layers": 3},
    "ponita": {"channels": 32, "layers": 4, "basis": 32, "widening": 2},
}
STEPS = {"egnn": 12_000, "fa_gnn": 20_000, "cg": 6_000, "ponita": 20_000}
RATES = {"egnn": 5e-3, "fa_gnn": 2e-2, "cg": 1e-2, "ponita": 2e-2}
BATCHES = {"egnn": 100, "fa_gnn": 25, "cg": 25, "ponita": 25}


def get_config(model: str = "egnn") -> ConfigDict:
    """Sizes and schedules that end within 20 minutes on one core."""
    from equinet.training import default_training
    from experiments.nbody.config import MODELS, DataConfig, ModelConfig

    if model not in MODELS:
        raise ValueError(f"nbody.py:<model> is one of {', '.join(MODELS)}, got {model!r}")
    config = ConfigDict()
    config.task = "experiments.nbody.task:NBodyTask"
    config.data_dir = ""
    config.data = ConfigDict(dataclasses.asdict(DataConfig(augment=model == "ponita")))
    config.model = ConfigDict(dataclasses.asdict(ModelConfig(name=model, **SIZES[model])))
    config.training = default_training(
        steps=STEPS[model],
        batch_size=BATCHES[model],
        learning_rate=RATES[model],
        warmup_steps=500,
        gradient_clip_norm=1.0,
        ema_decay=0.999,
        log_every=500,
        validate_every=1000,
        checkpoint_every=5000,
    )
    return config
