r"""Graphs that colour refinement cannot tell apart, and the TU sets: ``graphs.py:<set>-<model>``.

    equinet train --config=configs/graphs.py:exp-spen --workdir=runs/graphs/exp-spen
    equinet train --config=configs/graphs.py:mutag-gin --config.data.fold=3 --workdir=runs/mutag-3

Sets: exp, graph8c, sr25, csl, mutag, ptc, enzymes, proteins; models: gin, gin_id, mlp, the same
averaged over frames (fa_gin, fa_gin_id, fa_mlp), spen. ``--config.data_dir`` or EQUINET_DATA names
the directory of the data. For exp, graph8c, sr25 and csl the report also counts the pairs that
random networks confuse. All folds of one row of the table, what is finished being kept:

    python -m experiments.sweep exp-spen
    python -m experiments.report graphs
"""

from ml_collections import ConfigDict


def get_config(words: str = "exp-spen") -> ConfigDict:
    """A set and a model; the report is on the fold ``data.fold``."""
    from experiments.graphs.config import graphs_config

    return graphs_config(words)
