r"""Graphs that colour refinement cannot tell apart, and the TU sets: ``graphs.py:<set>-<model>``.

    equinet train --config=configs/graphs.py:exp-spen --workdir=runs/graphs/exp-spen
    equinet train --config=configs/graphs.py:mutag-gin --config.data.fold=3 --workdir=runs/mutag-3

Sets: exp, graph8c, sr25, csl, mutag, ptc, enzymes, proteins; models: gin, gin_id, mlp, the same
averaged over frames (fa_gin, fa_gin_id, fa_mlp), spen. ``--config.data_dir`` or EQUINET_DATA names
the directory of the data. For exp, graph8c, sr25 and csl the report also counts the pairs that
random networks confuse. All folds of one row of the table, what is finished being kept:

    python -m experiments.graphs.folds exp-spen
    python -m experiments.report graphs
"""

from typing import Any

from ml_collections import ConfigDict

from equinet.training import did_you_mean

MODELS = ("gin", "gin_id", "mlp", "fa_gin", "fa_gin_id", "fa_mlp", "spen")
STEPS = {
    "exp": 600,
    "graph8c": 1000,
    "sr25": 200,
    "csl": 200,
    "mutag": 500,
    "ptc": 500,
    "enzymes": 1500,
    "proteins": 1000,
}
HOPS = {"exp": 2, "csl": 4, "graph8c": 2}
"""Radius of ego-networks in which distances are marked; elsewhere it is 1, and none are marked."""
FROZEN: dict[str, Any] = {"layers": 2, "pair_channels": 4, "whitening": 1e-8, "frozen": True}
"""Options of ``spen`` on exp and csl, whose ego-networks are large: only the readout is trained."""


def get_config(name: str = "exp-spen") -> ConfigDict:
    """A set and a model; the report is on the fold ``data.fold``."""
    kind, dash, model = name.partition("-")
    if kind not in STEPS:
        raise ValueError(f"no set {kind!r}: {did_you_mean(kind, STEPS)}")
    if model not in MODELS:
        hint = (
            did_you_mean(model, MODELS)
            if dash
            else f"expected {kind}-<model>, the models are {', '.join(MODELS)}"
        )
        raise ValueError(f"no model {model!r}: {hint}")
    frozen = model == "spen" and kind in ("exp", "csl")
    config = ConfigDict()
    config.task = "experiments.graphs.task:GraphTask"
    config.data = {"set": kind}
    options: dict[str, Any] = {"name": model}
    if model == "spen" and kind in HOPS:
        options |= {"hops": HOPS[kind], "shells": HOPS[kind] + 1}
    config.model = options | (FROZEN if frozen else {})
    config.training = {
        "steps": STEPS[kind],
        "batch_size": 32,
        "learning_rate": 1e-2 if frozen else 3e-3,
        "warmup_steps": 50,
        "gradient_clip_norm": 1.0,
        "ema_decay": 0.99,
        "log_every": 50,
        "validate_every": 100,
        "checkpoint_every": 1000,
    }
    return config
