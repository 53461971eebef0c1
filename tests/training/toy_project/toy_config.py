"""Linear regression on 40 points, for the tests of the engine."""

from ml_collections import ConfigDict


def get_config(argument="40"):
    config = ConfigDict()
    config.task = "toy_task:ToyTask"
    config.size = int(argument)
    config.training = {
        "steps": 24,
        "batch_size": 6,
        "learning_rate": 0.1,
        "log_every": 4,
        "validate_every": 8,
        "checkpoint_every": 6,
        "ema_decay": 0.9,
        "mesh": (("data", 1),),
    }
    return config
