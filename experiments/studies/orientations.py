r"""How far from equivariant is PONITA, by the number of its orientations? A table and a figure.

    python -m experiments.studies.orientations [--orientations 4 6 8 12 20 30 64]
        [--clouds N] [--seeds N]
    python -m experiments.studies.orientations --trained runs/nbody/ponita

The error of an output f is relative and in float64, the root of the mean over clouds, points,
components and turns g of :math:`|f(g x) - g f(x)|^2` over that of :math:`|f(x)|^2`, and then the
mean over networks. These are untrained, with random weights whose kernels `calibrate` has scaled
once, on an icosahedron: every grid is given the same weights, so that only the grid makes a
difference. Every size has its Fibonacci grid and, where there is one, the polyhedron. `complete` is
measured up to `LARGEST_COMPLETE` orientations; its time grows with their square. A finished
training of `configs/nbody.py:ponita` is measured with its best weights, on its test systems, on
these grids in place of its own: one for every size, the polyhedron where there is one.

How to read the figure: above, under random rotations, the error falls as a power of the number of
orientations (dashed, moved up for the eye: that power, fitted to the Fibonacci grids of `separable`
from `FITTED_FROM` orientations on). Below, on an axis of its own, under the 12 to 60 rotations that
permute a polyhedron, the error is that of rounding; as it is under all rotations for the variants
`edges` and `positions`, which have no grid. `deviation` of a row is one standard deviation over the
networks.

Writes `experiments/studies/results/orientations.jsonl`, a row for every network and grid, and where
matplotlib is installed `orientations.svg` beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from equinet.groups import SO
from equinet.models import PONITA
from equinet.models.ponita import VARIANTS
from equinet.nn import calibrate
from equinet.ops.orientations import POLYHEDRA, Grid, fibonacci, polyhedron
from equinet.training import load_best, load_run
from experiments import report
from experiments.benchmarks.harness.rows import write
from experiments.nbody.data import load_data
from experiments.nbody.task import make_model, ponita_inputs

NAME = "orientations"
COMMANDS = {
    "untrained": f"python -m experiments.studies.{NAME}",
    "trained": f"python -m experiments.studies.{NAME} --trained WORKDIR",
}
ORIENTATIONS = (4, 6, 8, 12, 16, 20, 30, 48, 64, 96, 128)
SIZES: dict[str, Any] = {"channels": 16, "basis": 16, "layers": 3}
POINTS, TURNS, LARGEST_COMPLETE, FITTED_FROM = 6, 8, 20, 12
OUTPUTS = ("scalars", "vectors")
COLOURS = {"separable": "C0", "complete": "C1", "edges": "C2", "positions": "C4", "trained": "C3"}
Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]
Row = dict[str, Any]


def random_clouds(count: int) -> Inputs:
    """Normal positions, a scalar and a vector of every point."""
    rng = np.random.default_rng(0)
    shapes = ((POINTS, 3), (POINTS, 1), (POINTS, 3, 1))
    positions, scalars, vectors = (rng.normal(size=(count, *shape)) for shape in shapes)
    return positions, scalars, vectors


def network(variant: str, grid: Grid | None, seed: int) -> PONITA:
    """A network with random weights, from scalars and vectors to both; from scalars if it must."""
    vectors = 0 if variant == "positions" else 1
    return PONITA(
        *(1, vectors, 1, vectors),
        grid=grid,
        variant=variant,
        average_neighbours=float(POINTS),
        rngs=nnx.Rngs(seed),
        **SIZES,
    )


def grids_of(variant: str, sizes: Sequence[int]) -> list[Grid | None]:
    """What a variant is measured on: every Fibonacci grid, then the polyhedra of these sizes.

    >>> [grid.kind for grid in grids_of("separable", [6, 7])]
    ['fibonacci', 'fibonacci', 'octahedron']
    >>> grids_of("edges", [6, 7])
    [None]
    """
    if variant in ("edges", "positions"):
        return [None]
    sizes = _within(variant, sizes)
    regular = [polyhedron(name) for name, size in POLYHEDRA.items() if size in sizes]
    return [*map(fibonacci, sizes), *regular]


def _within(variant: str, sizes: Sequence[int]) -> list[int]:
    return [size for size in sizes if variant != "complete" or size <= LARGEST_COMPLETE]


def calibrated(variant: str, seed: int, inputs: Inputs) -> nnx.State:
    """The weights of a network, its kernels scaled to the clouds."""
    on_grid = variant in ("separable", "complete")
    model = network(variant, polyhedron("icosahedron") if on_grid else None, seed)
    calibrate(model, *inputs_for(model, inputs))
    return nnx.state(model)


def inputs_for(model: PONITA, inputs: Inputs) -> tuple[jax.Array, ...]:
    """The inputs on the device, without the vectors where the network takes none."""
    positions, scalars, vectors = inputs
    return tuple(map(jax.numpy.asarray, (positions, scalars, vectors[..., : model.sizes[1]])))


def random_turns(count: int) -> Float[np.ndarray, "clouds turns 3 3"]:
    """Random rotations, others for every cloud."""
    return np.asarray(SO(3).sample(jax.random.key(1), (count, TURNS)), np.float64)


def own_turns(grid: Grid, count: int) -> Float[np.ndarray, "clouds turns 3 3"]:
    """Rotations drawn from those that permute a polyhedron, without the identity.

    >>> own_turns(polyhedron("cube"), 2).shape
    (2, 8, 3, 3)
    """
    rotations, permutations = grid.symmetries()
    moving = rotations[(permutations != np.arange(grid.size)).any(axis=1)]
    return moving[np.random.default_rng(1).integers(len(moving), size=(count, TURNS))]


def errors(
    run: Callable[..., tuple[jax.Array, jax.Array]],
    states: Sequence[nnx.State],
    turns: Float[np.ndarray, "clouds turns 3 3"],
    inputs: Sequence[Any],
) -> dict[str, list[float]]:
    """The relative error of each output under the turns, one number for every network.

    Args:
        run: From weights, positions, scalars and vectors to scalars and vectors.
        states: The weights of every network.
        turns: Rotations, those of one cloud in one row.
        inputs: Positions ``[clouds, n, 3]``, scalars and vectors.

    Returns:
        Lists by the keys of ``OUTPUTS``; an output that the network does not have is absent.
    """
    positions, scalars, vectors = map(np.asarray, inputs)
    still = np.broadcast_to(np.eye(3), (len(turns), 1, 3, 3))
    everywhere = np.concatenate([still, turns], axis=1)
    arrays = (
        np.einsum("ctij,cnj->ctni", everywhere, positions),
        np.broadcast_to(scalars[:, None], (*everywhere.shape[:2], *scalars.shape[1:])),
        np.einsum("ctij,cnjv->ctniv", everywhere, vectors),
    )
    found: dict[str, list[float]] = {}
    for state in states:
        y, v = map(np.asarray, run(state, *arrays))
        turned = np.einsum("ctij,cnjv->ctniv", turns, v[:, 0])
        pairs = ((y[:, 1:], np.broadcast_to(y[:, :1], y[:, 1:].shape)), (v[:, 1:], turned))
        for name, (actual, expected) in zip(OUTPUTS, pairs, strict=True):
            if expected.size:
                ratio = np.mean((actual - expected) ** 2) / np.mean(expected**2)
                found.setdefault(name, []).append(float(np.sqrt(ratio)))
    return found


def row_of(model: PONITA, states: Sequence[nnx.State], inputs: Inputs, config: str) -> Row:
    """The errors of one network on one grid, means and standard deviations over the weights."""
    graphdef, grid, arrays = nnx.graphdef(model), model.grid, inputs_for(model, inputs)
    run = jax.jit(lambda state, *arrays: nnx.merge(graphdef, state)(*arrays))
    turns = {"random": random_turns(len(inputs[0]))}
    if grid is not None and grid.kind in POLYHEDRA:
        turns["own"] = own_turns(grid, len(inputs[0]))
    found = {
        f"{rotations}, {output}": values
        for rotations, some in turns.items()
        for output, values in errors(run, states, some, arrays).items()
    }
    kind, size = (None, None) if grid is None else (grid.kind, grid.size)
    return {
        "command": COMMANDS[config],
        "config": config,
        "model": ", ".join([model.variant, *([] if grid is None else [f"{kind} {size}"])]),
        "variant": model.variant,
        "grid": kind,
        "orientations": size,
        "networks": len(states),
        "clouds": len(inputs[0]),
        "equivariance_error": {k: float(f"{np.mean(v):.4g}") for k, v in found.items()},
        "deviation": {k: float(f"{np.std(v):.4g}") for k, v in found.items()},
    }


def untrained(sizes: Sequence[int], clouds: int, seeds: int) -> list[Row]:
    """The rows of all variants with random weights, in float64."""
    inputs, rows = random_clouds(clouds), []
    with jax.enable_x64(True):
        for variant in VARIANTS:
            states = [calibrated(variant, seed, inputs) for seed in range(seeds)]
            for grid in grids_of(variant, sizes):
                rows.append(row_of(network(variant, grid, 0), states, inputs, "untrained"))
                sys.stderr.write(f"{rows[-1]['model']}\n")
    return rows


def trained(workdir: pathlib.Path, sizes: Sequence[int], clouds: int) -> list[Row]:
    """The rows of one finished training of the n-body task, in float64.

    Raises:
        ValueError: It is not of PONITA on a grid.
        FileNotFoundError: The folder is not of a training, or has no model yet.
    """
    config: Any = load_run(workdir)[0]
    name, variant = config.model.name, getattr(config.model, "variant", None)
    if name != "ponita" or variant not in ("separable", "complete"):
        raise ValueError(
            f"{workdir}: got a training of {name!r}, variant {variant!r}, expected PONITA on a "
            "grid, as configs/nbody.py:ponita trains it"
        )
    best = make_model(config)
    load_best(workdir, best)
    states = [nnx.state(best.network)]
    systems = load_data(config.data, config.data_dir).test[:clouds]
    rows = []
    with jax.enable_x64(True):
        parts = (jax.numpy.asarray(part, np.float64) for part in systems.parts[:3])
        positions, scalars, vectors = map(np.asarray, ponita_inputs(*parts))
        inputs = (positions, scalars, vectors)
        for size in _within(variant, sizes):
            section = dataclasses.replace(config.model, orientations=size)
            model: Any = make_model(dataclasses.replace(config, model=section)).network
            rows.append(row_of(model, states, inputs, "trained"))
            sys.stderr.write(f"trained {rows[-1]['model']}\n")
    return rows


def curve(rows: Sequence[Row], key: str, keep: Callable[[Row], object]) -> list[list[float]]:
    """Sizes and errors of the rows that are kept and have this error, by size."""
    here = [row for row in rows if key in row["equivariance_error"] and keep(row)]
    here.sort(key=lambda row: row["orientations"] or 0)
    return [
        [row["orientations"] for row in here],
        [row["equivariance_error"][key] for row in here],
    ]


def fibonacci_curve(rows: Sequence[Row], key: str) -> list[list[float]]:
    """That of `separable` without training on Fibonacci grids."""
    wanted = {"config": "untrained", "variant": "separable", "grid": "fibonacci"}
    return curve(rows, key, lambda row: wanted.items() <= row.items())


def fitted_power(sizes: Sequence[float], errors: Sequence[float]) -> tuple[float, float] | None:
    """Least squares of the logarithms, (factor, power); None for fewer than two large sizes.

    >>> factor, power = fitted_power([4, 16, 32], [9.0, 1 / 256, 1 / 1024])
    >>> round(factor, 6), round(power, 6)
    (1.0, -2.0)
    """
    pairs = [pair for pair in zip(sizes, errors, strict=True) if pair[0] >= FITTED_FROM]
    if len(pairs) < 2:
        return None
    logarithms = np.log(pairs)
    power, constant = np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)
    return float(np.exp(constant)), float(power)


def draw(rows: Sequence[Row], figure: Any) -> None:
    """Draws a column for each output: random rotations above, those of the grid below."""
    panels = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(4, 1))
    for column, output in enumerate(OUTPUTS):
        above, below = panels[:, column]
        for config, variant in dict.fromkeys((row["config"], row["variant"]) for row in rows):
            here = [r for r in rows if (r["config"], r["variant"]) == (config, variant)]
            color = COLOURS[variant if config == "untrained" else config]
            label = variant if config == "untrained" else f"{variant}, {config}"
            if here[0]["grid"] is None:
                for error in curve(here, f"random, {output}", bool)[1]:
                    below.axhline(error, color=color, label=f"{label}, under all rotations")
                continue
            _draw_grids(here, f"random, {output}", above, color, label)
            _draw_grids(here, f"own, {output}", below, color, label)
        _draw_power(rows, f"random, {output}", above)
        above.set(title=f"{output} out", xscale="log", yscale="log")
        below.set(xlabel="orientations", yscale="log", ylim=(1e-17, 1e-14))
    ticks = sorted({row["orientations"] for row in rows if row["orientations"]})
    panels[0, 0].set_ylabel("relative error,\nrandom rotations")
    panels[1, 0].set_ylabel("rotations\nof the grid")
    panels[1, 0].set_xticks(ticks, [str(tick) for tick in ticks])
    panels[1, 0].minorticks_off()
    handles = {}
    for axes in (panels[0, 0], panels[1, 0]):
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)


def _draw_grids(rows: Sequence[Row], key: str, axes: Any, color: str, label: str) -> None:
    """A line through the Fibonacci grids, and diamonds at the polyhedra."""
    line = curve(rows, key, lambda row: row["grid"] not in POLYHEDRA)
    axes.plot(*line, ".-", color=color, label=f"{label}, Fibonacci")
    points = curve(rows, key, lambda row: row["grid"] in POLYHEDRA)
    axes.plot(*points, "D", color=color, mfc="white", markersize=5, label=f"{label}, polyhedra")


def _draw_power(rows: Sequence[Row], key: str, axes: Any) -> None:
    """The power fitted to `separable` without training, as a dashed line above the curve."""
    sizes, found = fibonacci_curve(rows, key)
    if (fit := fitted_power(sizes, found)) is None:
        return
    factor, power = 1.5 * fit[0], fit[1]
    ends = np.array([FITTED_FROM, max(sizes)], np.float64)
    axes.plot(ends, factor * ends**power, "k--", linewidth=1)
    middle = float(np.sqrt(ends.prod()))
    text = f"$\\propto N^{{{power:.2f}}}$"
    axes.annotate(text, (middle, factor * middle**power), (4, 6), textcoords="offset points")


def save_figure(rows: Sequence[Row], file: pathlib.Path) -> bool:
    """Writes the figure; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    draw(rows, figure)
    figure.savefig(file)
    return True


def table(rows: Sequence[Row]) -> str:
    """The errors as a markdown table, and the powers of their fall."""
    lines = [report.trainings_table(rows), ""]
    for output in OUTPUTS:
        sizes, found = fibonacci_curve(rows, f"random, {output}")
        if fit := fitted_power(sizes, found):
            lines.append(f"{output}: error about {fit[0]:.3g} N^{fit[1]:.2f}, separable, Fibonacci")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and return the exit code."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], exit_on_error=False
    )
    parser.add_argument("--orientations", type=int, nargs="+", default=list(ORIENTATIONS))
    parser.add_argument("--clouds", type=int, default=4, help="random clouds, or test systems")
    parser.add_argument("--seeds", type=int, default=4, help="networks without training")
    parser.add_argument("--trained", type=pathlib.Path, metavar="WORKDIR", help="of an n-body run")
    try:
        chosen = parser.parse_args(arguments)
        _check(chosen)
        sizes = sorted(set(chosen.orientations))
        rows = [] if chosen.trained is None else trained(chosen.trained, sizes, chosen.clouds)
    except (argparse.ArgumentError, FileNotFoundError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    rows = untrained(sizes, chosen.clouds, chosen.seeds) + rows
    file = report.rows_file(NAME, "studies")
    write(rows, file)
    if save_figure(rows, file.with_suffix(".svg")):
        sys.stderr.write(f"figure: {file.with_suffix('.svg')}\n")
    sys.stdout.write(table(rows) + "\n")
    return 0


def _check(chosen: argparse.Namespace) -> None:
    smallest = min(chosen.orientations)
    if smallest < 4:
        raise ValueError(f"got --orientations {smallest}, expected 4 or more")
    for word in ("clouds", "seeds"):
        if getattr(chosen, word) < 1:
            raise ValueError(f"got --{word} {getattr(chosen, word)}, expected 1 or more")


if __name__ == "__main__":
    sys.exit(main())
