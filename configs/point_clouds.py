r"""Turned clouds of points, ``point_clouds.py:<set>-<model>``: what they are, how they are turned.

    equinet train --config=configs/point_clouds.py:shapes-fa_point_net --workdir=runs/shapes-fa
    equinet train --config=configs/point_clouds.py:shapes-point_net --workdir=runs/shapes-bare
    equinet train --config=configs/point_clouds.py:airplanes-fa_point_net --workdir=runs/turns

Sets: shapes (eight solids drawn on the spot; trained upright, tested at any turn), airplanes (their
turn from a common pose is asked for; ``--config.data_dir`` or EQUINET_DATA names the directory that
holds ``rotations/airplanes_1024.npz``). Models: point_net, fa_point_net (averaged over principal
axes), mds_point_net (on coordinates made from distances; shapes alone), ponita.
``--config.data.turns=none|upright|all`` says how training clouds are turned.
"""

import dataclasses

from ml_collections import ConfigDict


def get_config(words: str = "shapes-fa_point_net") -> ConfigDict:
    """A few minutes on 2 cores; ponita sees fewer points."""
    from equinet.training import default_training
    from experiments.point_clouds.config import MODELS, SETS, DataConfig, ModelConfig

    name, dash, model = words.partition("-")
    if not dash or name not in SETS or model not in MODELS:
        raise ValueError(
            f"point_clouds.py:<set>-<model> has the sets {', '.join(SETS)} and the models "
            f"{', '.join(MODELS)}, got {words!r}"
        )
    airplanes = name == "airplanes"
    data = DataConfig(
        set=name,
        points=48 if model == "ponita" else 128,
        samples=1500 if airplanes else 2000,
        validation=300 if airplanes else 400,
        test=490 if airplanes else 1000,
        turns="all" if airplanes else "upright",
    )
    channels = 16 if model == "ponita" else 64
    config = ConfigDict()
    config.task = "experiments.point_clouds.task:PointCloudTask"
    config.data_dir = ""
    config.data = ConfigDict(dataclasses.asdict(data))
    config.model = ConfigDict(dataclasses.asdict(ModelConfig(name=model, channels=channels)))
    config.training = default_training(
        steps=1000 if model == "ponita" else 4000,
        batch_size=32,
        learning_rate=1e-2 if model == "ponita" else 2e-3,
        warmup_steps=200,
        gradient_clip_norm=1.0,
        ema_decay=0.99,
        log_every=100,
        validate_every=250 if model == "ponita" else 500,
        checkpoint_every=1000,
    )
    return config
