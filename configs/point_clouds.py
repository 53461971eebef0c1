r"""Rotated clouds of points, ``point_clouds.py:<set>-<model>``: their class, or their rotation.

    equinet train --config=configs/point_clouds.py:shapes-fa_point_net --workdir=runs/shapes-fa
    equinet train --config=configs/point_clouds.py:shapes-point_net --workdir=runs/shapes-bare
    equinet train --config=configs/point_clouds.py:airplanes-fa_point_net --workdir=runs/turns

Sets: shapes (eight solids; trained upright, tested in any orientation), airplanes (their rotation
from a common pose is predicted; ``--config.data_dir`` or EQUINET_DATA names the folder that holds
``rotations/airplanes_1024.npz``). Models: point_net, fa_point_net (averaged over principal axes),
mds_point_net (on coordinates made from distances; shapes alone), ponita.
``--config.data.turns=none|upright|all`` sets how training clouds are rotated.
"""

from ml_collections import ConfigDict

DURATION = "minutes on 2 cores"

SETS = ("shapes", "airplanes")
MODELS = ("point_net", "fa_point_net", "mds_point_net", "ponita")


def get_config(name: str = "shapes-fa_point_net") -> ConfigDict:
    """A few minutes on 2 cores; ponita is given fewer points."""
    kind, dash, model = name.partition("-")
    if not dash or kind not in SETS or model not in MODELS:
        raise ValueError(
            f"point_clouds.py:<set>-<model> has the sets {', '.join(SETS)} and the models "
            f"{', '.join(MODELS)}, got {name!r}"
        )
    ponita = model == "ponita"
    config = ConfigDict()
    config.task = "experiments.point_clouds.task:PointCloudTask"
    config.data = {"set": kind, "points": 48 if ponita else 128}
    if kind == "airplanes":
        sizes = {"samples": 1500, "validation": 300, "test": 490}
        config.data = {**config.data, "turns": "all", **sizes}
    config.model = {"name": model, "channels": 16 if ponita else 64}
    config.training = {
        "steps": 1000 if ponita else 4000,
        "batch_size": 32,
        "learning_rate": 1e-2 if ponita else 2e-3,
        "warmup_steps": 200,
        "gradient_clip_norm": 1.0,
        "ema_decay": 0.99,
        "log_every": 100,
        "validate_every": 250 if ponita else 500,
        "checkpoint_every": 1000,
    }
    return config
