"""Functions of known symmetry, ``emlp.py:<problem>``: equivariant networks against perceptrons.

    equinet train --config=configs/emlp.py:inertia --workdir=runs/inertia
    equinet train --config=configs/emlp.py:inertia --config.model.name=mlp --workdir=runs/mlp

Problems: inertia (O(3)), scattering (Lorentz), o5 (O(5)) and inertia_soft, whose symmetry is
approximate and found out. At most three minutes each on 2 cores; the data are drawn on the spot,
``--config.data.samples`` of them. All runs of the committed table, each skipped if it is there:

    python -m experiments.sweep_emlp runs/emlp && python -m experiments.report emlp
"""

from ml_collections import ConfigDict

from configs import common


def get_config(problem: str = "inertia") -> ConfigDict:
    """1000 samples to train on; the selection is on samples of their own, and so is the report."""
    return common.emlp(problem)
