"""Prints the tables of `config.md`: `python docs/training/config_tables.py`."""

from ml_collections import ConfigDict

from equinet.potentials import PotentialConfig
from equinet.training import ConfigKey, complete_config, describe_config


def tables() -> dict[str, str]:
    """The tables in markdown by the title of their section."""
    task = "equinet.potentials.task:PotentialTask"
    files = {"source": "files", "train": "a.xyz", "validation": "b.xyz", "test": "c.xyz"}
    keys = describe_config(PotentialConfig())
    read = describe_config(complete_config(ConfigDict({"task": task, "data": files})))
    other = ConfigDict({"task": task, "model": {"network": "ponita"}})
    ponita = describe_config(complete_config(other))
    return {
        "Training": _table(keys, "training."),
        "Data made with GFN2-xTB": _table(keys, "data."),
        "Data from files": _table(read, "data."),
        "The network irreps": _table(keys, "model."),
        "The network ponita": _table(ponita, "model."),
        "Loss": _table(keys, "loss."),
    }


def _table(keys: list[ConfigKey], prefix: str) -> str:
    lines = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
    for key in keys:
        if key.key.startswith(prefix):
            cells = (f"`{key.key}`", key.type, f"`{key.default!r}`", key.unit, key.meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join(f"## {title}\n\n{table}" for title, table in tables().items()))
