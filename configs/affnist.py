r"""Digits seen upright and centred, recognised after affine maps: ``affnist.py:<group>``.

    equinet train --config=configs/affnist.py:gl --workdir=runs/gl
    EQUINET_DATA=DIR equinet train --config=configs/affnist.py:gl-mnist --workdir=runs/gl-mnist

Groups: gl (GL+(2)), sl (SL(2)), so (SO(2)), similitudes, scalings, c8, p4, p4m, cnn (none). The
digits are those of scikit-learn, enlarged to 16 x 16 pixels, trained in minutes; ``<group>-mnist``
takes 5,000 of MNIST on 40 x 40 pixels, from ``mnist/`` of the directory in EQUINET_DATA or
``--config.data_dir``.
The test is ten affine maps of every test digit by the recipe of affNIST. The networks have about
42,000 parameters each. The networks of groups that are not finite sample the group anew in each
step, and learn more slowly than those of finite groups. In a given time they learn more with few
samples of the group, and all networks learn more with small batches. On MNIST they are trained for
15,000 steps, those of finite groups for 6,000. The digits of scikit-learn have so few pixels that
rotations and stretches blur them, so compare networks on MNIST. The committed table, two rows at a
time on two cores:

    for g in gl sl so p4m cnn; do
      EQUINET_DATA=DIR equinet train --config=configs/affnist.py:$g-mnist \
        --workdir=runs/affnist/$g-mnist &&
      python -m experiments.report affnist --add runs/affnist/$g-mnist --write
    done
"""

from ml_collections import ConfigDict

LIE_GROUPS = ("gl", "sl", "so", "similitudes", "scalings")
FINITE_GROUPS = ("p4", "p4m", "c8", "cnn")


def get_config(name: str = "gl") -> ConfigDict:
    """Networks of about the same number of parameters."""
    group, dash, source = name.partition("-")
    if group not in LIE_GROUPS + FINITE_GROUPS or (dash and source != "mnist"):
        raise ValueError(
            "affnist.py:<group> or affnist.py:<group>-mnist has the groups "
            f"{', '.join(LIE_GROUPS + FINITE_GROUPS)}, got {name!r}"
        )
    mnist, finite = source == "mnist", group in FINITE_GROUPS
    config = ConfigDict()
    config.task = "experiments.digits.task:ImageTask"
    config.model = {"group": group, "draws": 2 if mnist else 4}
    if mnist:
        sizes = {"samples": 5000, "validation": 1000, "test": 10_000}
        config.data = {"set": "mnist", "enlarge": 1, "size": 40, **sizes}
        if not finite:
            config.model = {**config.model, "count": 5}
    config.training = {
        "steps": (6000 if finite else 15_000) if mnist else 1000,
        "batch_size": 10 if mnist else 50,
        "learning_rate": 1e-2 if mnist or not finite else 3e-3,
        "warmup_steps": 100,
        "gradient_clip_norm": 1.0,
        "ema_decay": 0.99,
        "log_every": 500 if mnist else 100,
        "validate_every": 1000 if mnist else 250,
        "checkpoint_every": 500,
    }
    return config
