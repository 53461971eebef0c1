r"""Functions of known symmetry, ``emlp.py:<problem>``: equivariant networks against perceptrons.

    equinet train --config=configs/emlp.py:inertia --workdir=runs/inertia
    equinet train --config=configs/emlp.py:inertia --config.model.name=mlp --workdir=runs/mlp

Problems: inertia (O(3)), scattering (Lorentz), o5 (O(5)) and inertia_soft, whose symmetry is
approximate and found out. At most three minutes each on 2 cores; the data are drawn on the spot,
``--config.data.samples`` of them. The committed table and figure (what is finished is kept):

    for p in inertia scattering o5 inertia_soft; do for m in equivariant mlp; do
      for n in 100 1000 10000; do
        equinet train --config=configs/emlp.py:$p --config.model.name=$m \
          --config.data.samples=$n --workdir=runs/emlp/$p-$m-$n &&
        python -m experiments.report emlp --add runs/emlp/$p-$m-$n
      done; done; done
"""

from ml_collections import ConfigDict

from configs import common


def get_config(problem: str = "inertia") -> ConfigDict:
    """1000 samples to train on; the selection is on samples of their own, and so is the report."""
    return common.emlp(problem)
