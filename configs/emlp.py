r"""Functions of known symmetry, ``emlp.py:<problem>``: equivariant networks against perceptrons.

    equinet train --config=configs/emlp.py:inertia --workdir=runs/inertia
    equinet train --config=configs/emlp.py:inertia --config.model.name=mlp --workdir=runs/mlp

Problems: inertia (O(3)), scattering (Lorentz), o5 (O(5)) and inertia_soft, whose symmetry is
approximate and is learned. At most three minutes each on 2 cores; the data are drawn from a seed,
``--config.data.samples`` of them. The committed table and figure (what is finished is kept):

    for p in inertia scattering o5 inertia_soft; do for m in equivariant mlp; do
      for n in 100 1000 10000; do
        equinet train --config=configs/emlp.py:$p --config.model.name=$m \
          --config.data.samples=$n --workdir=runs/emlp/$p-$m-$n &&
        python -m experiments.report emlp --add runs/emlp/$p-$m-$n --write
      done; done; done
"""

from ml_collections import ConfigDict

DURATION = "3 minutes on 2 cores"


def get_config(problem: str = "inertia") -> ConfigDict:
    """1000 samples to train on; others select the best model, and others make the report."""
    soft = problem == "inertia_soft"
    config = ConfigDict()
    config.task = "experiments.emlp.task:EMLPTask"
    config.data = {"problem": problem}
    config.model = {"channels": 8 if soft else 16}  # unconstrained layers have more parameters
    config.training = {
        "steps": 2000 if soft else 3000,
        "batch_size": 200,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "learning_rate": 1e-2,
        "warmup_steps": 100,
        "gradient_clip_norm": 10.0,
        "ema_decay": 0.99,
        "log_every": 100,
        "validate_every": 250,
        "checkpoint_every": 1000,
    }
    return config
