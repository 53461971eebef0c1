r"""How far from equivariant are sampled group convolutions, by the number of samples?

    python -m experiments.studies.group_samples [--counts 4 16 64 256 1024] [--draws N]

A smooth image f is moved by an element a of the group, exactly: it is a formula. Lifting and
convolution of both give :math:`F_f(0, 1)` and :math:`F_{a f}(0, a)`, which would be equal; each has
samples of its own. The error is relative: the root of the mean, over draws, elements and channels,
of the square of their difference over that of F. Where samples are so few that the outputs have
nothing in common it is the root of two; from there random samples make it fall as the root of their
number, a sequence of low discrepancy faster. What is left at the end is that sums over pixels stand
for integrals. Float64.

Writes `experiments/studies/results/group_samples.jsonl`, a row for every group and kind of points,
and where matplotlib is installed `group_samples.svg` beside it.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import MatrixLieGroup, group_nodes
from equinet.nn import GroupConvolution, Lifting
from equinet.ops.images import pixel_offsets, window_half_width
from experiments import report
from experiments.benchmarks.harness.rows import write
from experiments.digits.config import GROUPS

NAME = "group_samples"
COUNTS = (4, 16, 64, 256, 1024)
WORDS = ("gl", "sl", "similitudes", "scalings", "so")
POINTS = ("random", "low_discrepancy")
SIZE, RADIUS, SCALE, SUPPORT, CHANNELS = 41, 4.0, 0.8, 0.5, 4
Row = dict[str, Any]


def blob(element: Float[Array, "2 2"]) -> Float[Array, "1 size size 1 1"]:
    """The image f(a^-1 y) of a smooth function f."""
    places = jnp.asarray(pixel_offsets(SIZE // 2, 2), element.dtype)
    back = jnp.einsum(
        "ij,hwj->hwi", jnp.linalg.inv(element), places, precision=jax.lax.Precision.HIGHEST
    )
    x, y = back[..., 0], back[..., 1]
    value = jnp.exp(-((x - 1) ** 2 + 2 * (y + 0.5) ** 2) / 40) * (1 + 0.2 * x)
    return value[None, ..., None, None]


def errors(word: str, points: str, counts: Sequence[int], draws: int) -> list[float]:
    """The relative error for every number of samples."""
    group = GROUPS[word]
    assert isinstance(group, MatrixLieGroup)
    half = window_half_width(RADIUS, SCALE if word != "so" else 0.0)
    options: Any = {"radius": RADIUS, "half_width": half, "frequency": 1.5}
    lifting = Lifting(group, 1, CHANNELS, **options, rngs=nnx.Rngs(0))
    layer = GroupConvolution(
        group, CHANNELS, CHANNELS, support=SUPPORT, scale=SCALE, **options, rngs=nnx.Rngs(1)
    )

    @functools.partial(jax.jit, static_argnums=0)
    def squares(count: int, key: Array) -> tuple[Array, Array]:
        element_key, *keys = jax.random.split(key, 3)
        size = 0.15 * jax.random.normal(element_key, (len(group.lie_algebra()),))
        element = group.exp(group.hat(size))

        def value(a: Array, key: Array) -> Array:
            nodes = group_nodes(group, key, count, scale=SCALE, points=points)  # type: ignore[arg-type]
            y = layer(lifting(blob(a), nodes), nodes, a[None])
            return y[0, SIZE // 2, SIZE // 2, 0]

        plain, moved = value(jnp.eye(2), keys[0]), value(element, keys[1])
        return jnp.mean((plain - moved) ** 2), jnp.mean(plain**2 + moved**2) / 2

    found = []
    for count in counts:
        pairs = [squares(count, key) for key in jax.random.split(jax.random.key(7), draws)]
        difference, size = np.mean(np.asarray(pairs), axis=0)
        found.append(float(np.sqrt(difference / size)))
    return found


def power(counts: Sequence[float], found: Sequence[float]) -> float:
    """By least squares of the logarithms.

    >>> round(power([4, 16, 64], [1, 0.5, 0.25]), 6)
    -0.5
    """
    return float(np.polyfit(np.log(counts), np.log(found), 1)[0])


def measure(counts: Sequence[int], draws: int) -> list[Row]:
    """A row for every group and kind of points."""
    rows = []
    with jax.enable_x64(True):
        for word in WORDS:
            for points in POINTS:
                found = errors(word, points, counts, draws)
                rows.append(
                    {
                        "command": f"python -m experiments.studies.{NAME}",
                        "model": f"{GROUPS[word]}, {points}",
                        "group": word,
                        "points": points,
                        "draws": draws,
                        "samples_and_errors": [
                            [n, float(f"{e:.4g}")] for n, e in zip(counts, found, strict=True)
                        ],
                        "power": round(power(counts, found), 2),
                    }
                )
                sys.stderr.write(f"{rows[-1]['model']}: {rows[-1]['samples_and_errors']}\n")
    return rows


def save_figure(rows: Sequence[Row], file: pathlib.Path) -> bool:
    """Writes the figure; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        counts, found = zip(*row["samples_and_errors"], strict=True)
        color = f"C{WORDS.index(row['group'])}"
        line = "-" if row["points"] == "random" else "--"
        axes.plot(counts, found, line, marker=".", label=row["model"], color=color)
    ends = np.asarray(rows[0]["samples_and_errors"])[[0, -1], 0]
    axes.plot(ends, ends**-0.5, "k:", label="$N^{-1/2}$")
    axes.set(xscale="log", yscale="log", xlabel="samples", ylabel="relative error of equivariance")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(file, metadata={"Date": None})
    return True


def main(arguments: list[str] | None = None) -> None:
    """Run the study: write its rows and draw its figure."""
    option_parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    option_parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), metavar="N")
    option_parser.add_argument("--draws", type=int, default=64)
    chosen = option_parser.parse_args(arguments)
    if min(chosen.counts) < 1 or chosen.draws < 1 or len(chosen.counts) < 2:
        option_parser.error(
            f"expected two or more counts and draws above 0, got {chosen.counts}, {chosen.draws}"
        )
    rows = measure(sorted(chosen.counts), chosen.draws)
    file = report.rows_file(NAME, "studies")
    write(rows, file)
    save_figure(rows, file.with_suffix(".svg"))


if __name__ == "__main__":
    main()
