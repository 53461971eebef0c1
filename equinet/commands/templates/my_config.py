"""The moment of inertia of four masses, learned by an equivariant network.

equinet train --config=FOLDER/my_config.py --workdir=runs/my_first
equinet config --config=FOLDER/my_config.py
"""

DURATION = "20 seconds on 2 cores"


def get_config(argument: str = "") -> dict:
    """The task and the keys that differ from its defaults; the argument is free to use."""
    return {
        "task": "my_task:MyTask",
        "data": {"samples": 500},
        "training": {
            "steps": 500,
            "batch_size": 50,
            "learning_rate": 1e-2,
            "validate_every": 250,
            "checkpoint_every": 250,
            "log_every": 50,
        },
    }
