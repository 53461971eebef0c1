r"""One config trained with every tensor product and every convolution, as rows of one table.

    EQUINET_DATA=DIR python -m experiments.sweep --config configs/3bpa.py --steps 1000 \
        --workdir runs/variants --results runs/variants/rows.jsonl

Each variant is a training in `<workdir>/<product>-<convolution>`, one after the other; one that has
finished is not repeated, one that was cut off goes on. All take the same number of steps. The rows
are written to the file that `--results` names: errors, milliseconds per step, peak memory,
parameters. Those of the project are `experiments/potentials/results/3bpa_products.jsonl`.
"""

import argparse
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from experiments import report

PRODUCTS = ("clebsch_gordan", "gaunt", "complete", "cp")


CONVOLUTIONS = ("clebsch_gordan", "so2", "gaunt")


def variants(products: Sequence[str], convolutions: Sequence[str]) -> list[tuple[str, str]]:
    """Every product with the first convolution, and the first product with every convolution.

    >>> variants(["a", "b"], ["c", "d"])
    [('a', 'c'), ('b', 'c'), ('a', 'd')]
    """
    with_first = [(product, convolutions[0]) for product in products]
    return with_first + [(products[0], convolution) for convolution in convolutions[1:]]


def train(
    config: str,
    steps: int,
    workdir: pathlib.Path,
    product: str,
    convolution: str,
    overrides: Sequence[str],
) -> pathlib.Path:
    """Trains one variant in a new process, unless it has finished.

    Returns:
        Its directory.

    Raises:
        RuntimeError: The training failed; its messages are in `train.log` there.
    """
    folder = workdir / f"{product}-{convolution}"
    if (folder / "result.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    every = max(1, steps // 4)
    command = [sys.executable, "-m", "equinet.cli", "train", f"--config={config}"]
    command += [f"--workdir={folder}", f"--config.training.steps={steps}"]
    command += [f"--config.training.validate_every={every}"]
    command += [f"--config.training.checkpoint_every={every}"]
    command += [f"--config.training.log_every={max(1, steps // 20)}"]
    command += [f"--config.model.product={product}", f"--config.model.convolution={convolution}"]
    with (folder / "train.log").open("a") as log:
        code = subprocess.run(
            [*command, *overrides], stdout=log, stderr=log, check=False
        ).returncode
    if code:
        raise RuntimeError(f"{folder.name} ended with exit code {code}: see {folder / 'train.log'}")
    return folder


def main() -> None:
    """Trains the variants, writes their rows and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/3bpa.py")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, help="default: WORKDIR/rows.jsonl")
    parser.add_argument("--products", default=",".join(PRODUCTS))
    parser.add_argument("--convolutions", default=",".join(CONVOLUTIONS))
    options, overrides = parser.parse_known_args()
    file = options.results or options.workdir / "rows.jsonl"
    for product, convolution in variants(
        options.products.split(","), options.convolutions.split(",")
    ):
        sys.stderr.write(f"{product}, {convolution}\n")
        folder = train(
            options.config, options.steps, options.workdir, product, convolution, overrides
        )
        row = report.training_row(folder, f"product {product}, convolution {convolution}")
        report.write_rows(report.merged(report.read(file) if file.exists() else [], row), file)
    sys.stdout.write(report.trainings_table(report.read(file)) + "\n")


if __name__ == "__main__":
    main()
