"""How long does a network on positions and orientations take, and how much memory?

    python -m experiments.benchmarks.position_orientation [--orientations 6 12 20 30]

Batches of fully connected clouds, float32, scalars in and out. Direction forward+backward gives the
output and the gradient of all parameters. Three contenders of equal width, depth and orientations:

- `equinet`, part `network`: the perceptron of the kernel basis runs for every pair of points;
- `equinet`, part `polynomials`: it runs at the nodes of polynomials of degree `RESOLUTION`;
- `published-form`: the network as it was published, written out in JAX on equinet's parameters. The
  basis is made for all pairs and orientations and held, then the kernels of a layer, then the sum.

There is no peer to install: the public JAX implementation is a script without a package. Its two
fully connected models have the sizes `small` (64 channels, a basis of 64, 3 layers); `wide` are
those of the paper's molecules (128, 256, 5). Compare with figures of it that were taken on the same
machine. Before the timing the output of part `network` is compared with that of `published-form`.
The orientations are the vertices of polyhedra, whose antipodes equinet makes use of; other numbers
are Fibonacci grids, where it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from equinet.models import PONITA
from equinet.nn import SeparableConvolution
from equinet.ops.orientations import Grid, grid_of_size, spatial_invariants
from equinet.training import keep_freed_memory
from experiments.benchmarks.harness.race import Ceilings, Jitted, measure_ceilings, race
from experiments.benchmarks.harness.rows import OURS, Row, parser, report, some_of, write

NAME = "position_orientation"
PEERS = ("published-form",)
PARTS = ("network", "polynomials")
DIRECTIONS = ("forward", "forward+backward")
CLOUDS, POINTS, SCALARS, CUTOFF, DEGREE, RESOLUTION = 5, 27, 8, 5.0, 3, 8
SIZES: dict[str, dict[str, int]] = {
    "small": {"channels": 64, "basis": 64, "layers": 3},
    "wide": {"channels": 128, "basis": 256, "layers": 5},
}
LARGEST_ERROR = 1e-4


def case_of(size: str, orientations: int) -> dict[str, Any]:
    """What a row says about the case."""
    shape = {"clouds": CLOUDS, "points": POINTS, "degree": DEGREE, "dtype": "float32"}
    return {"size": size, "orientations": orientations, **SIZES[size], **shape}


def network(case: dict[str, Any], part: str) -> PONITA:
    """Our network of a case."""
    return PONITA(
        *(SCALARS, 0, 1, 0),
        grid=grid_of_size(case["orientations"]),
        channels=case["channels"],
        basis=case["basis"],
        layers=case["layers"],
        degree=DEGREE,
        cutoff=CUTOFF,
        resolution=RESOLUTION if part == "polynomials" else None,
        average_neighbours=float(POINTS),
        all_readouts=False,
        rngs=nnx.Rngs(0),
    )


def inputs_of() -> tuple[jax.Array, jax.Array]:
    """Points in a ball of the cutoff's diameter, and scalars."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(CLOUDS, POINTS, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    radii = CUTOFF / 2 * rng.uniform(size=(CLOUDS, POINTS, 1)) ** (1 / 3)
    scalars = rng.normal(size=(CLOUDS, POINTS, SCALARS))
    return jnp.asarray(radii * directions, jnp.float32), jnp.asarray(scalars, jnp.float32)


def ours(model: PONITA, positions: jax.Array, scalars: jax.Array) -> jax.Array:
    """The scalars of our network."""
    return model(positions, scalars)[0]


def published_form(model: PONITA, positions: jax.Array, scalars: jax.Array) -> jax.Array:
    """The same network as the paper has it: every kernel of a layer held in memory."""
    grid, kernels = _grid(model), model.kernels
    vectors = (positions[:, None] - positions[:, :, None])[..., None, :]  # receiver, sender
    points = jnp.asarray(grid.points, positions.dtype)
    basis = kernels.spatial(spatial_invariants(vectors, points.reshape(1, 1, 1, -1, 3)))
    spherical = kernels.spherical((points @ points.T)[..., None])
    distances = jnp.linalg.norm(vectors, axis=-1)
    x = distances / CUTOFF
    window = jnp.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, 0)
    x = jnp.repeat(model.embedding(scalars)[:, :, None], grid.size, axis=2)
    for block in model.blocks:
        convolution, y = _separable(block.convolution), x
        scale = convolution.scale
        kernel = (basis @ convolution.spatial.kernel[...]) * window[..., None]
        y = jnp.einsum("bijoc,bjoc->bioc", kernel, y) * (scale / POINTS)
        kernel = spherical @ convolution.kernel[...]
        y = jnp.einsum("poc,bioc->bipc", kernel, y) * (scale / grid.size)
        y = y + convolution.bias[...].reshape(1, 1, 1, -1)
        x = x + block.mlp(block.norm(y[..., None, :])[..., 0, :])
    return jnp.mean(model.scalars[0](x), axis=-2)


def _grid(model: PONITA) -> Grid:
    assert model.grid is not None
    return model.grid


def _separable(convolution: object) -> SeparableConvolution:
    assert isinstance(convolution, SeparableConvolution)
    return convolution


def contender(
    library: str,
    function: Callable[..., jax.Array],
    model: PONITA,
    direction: str,
    version: str | None,
) -> Jitted:
    """A network compiled for one direction."""
    graphdef, params = nnx.split(model)

    def forward(params: nnx.State, *inputs: jax.Array) -> jax.Array:
        return function(nnx.merge(graphdef, params), *inputs)

    def loss(params: nnx.State, *inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        output = forward(params, *inputs)
        return jnp.mean(output**2), output

    chosen = forward if direction == "forward" else jax.grad(loss, has_aux=True)
    made = Jitted(library, chosen, (params, *inputs_of()), version=version)
    made.facts["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(params))
    return made


def check(found: jax.Array, expected: jax.Array) -> None:
    """Refuse networks that do not compute the same.

    Raises:
        ValueError: If the largest difference is not small beside the largest number.
    """
    error = float(jnp.max(jnp.abs(found - expected)) / jnp.max(jnp.abs(expected)))
    if not error < LARGEST_ERROR:
        raise ValueError(f"another result: got a relative error of {error:.2g}")


def flops_of(case: dict[str, Any], part: str) -> float:
    """Floating point operations of the matrix products of a forward pass, as equinet makes them."""
    grid, channels, layers = grid_of_size(case["orientations"]), case["channels"], case["layers"]
    kept = grid.size // 2 if grid.is_antipodal else grid.size
    rows, pairs = CLOUDS * POINTS * grid.size, CLOUDS * POINTS**2 * kept
    values, basis = (RESOLUTION + 1) * (RESOLUTION + 2) // 2, 0
    if part == "network":
        values = case["basis"]
        basis = math.comb(2 + DEGREE, DEGREE) - 1
        basis = pairs * channels * (basis + values)
    layer = pairs * values * channels + rows * channels * (grid.size + 8 * channels)
    return 2.0 * (basis + layers * layer)


def measure(
    case: dict[str, Any], part: str, peers: Sequence[str], repeats: int, ceilings: Ceilings
) -> list[Row]:
    """The rows of one case and one part."""
    rows: list[Row] = []
    model = network(case, part)
    reference = network(case, "network")
    for direction in DIRECTIONS:
        racing = [contender(OURS, ours, model, direction, None)]
        for peer in peers:
            racing.append(
                contender(peer, published_form, reference, direction, f"jax {jax.__version__}")
            )
        if len(racing) > 1 and part == "network" and direction == "forward":
            check(racing[0].output(), racing[1].output())
        floor = ceilings.floor_ms(flops=flops_of(case, part) * (1 if direction == "forward" else 3))
        rows += race(
            racing,
            benchmark=NAME,
            case=case,
            direction=direction,
            part=part,
            repeats=repeats,
            rounds=min(5, repeats),
            floor_ms=floor,
        )
        for row in rows:
            row["floor_ms"] = row["floor_ms"] if row["library"] == OURS else None
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: all chosen sizes, orientations and parts."""
    option_parser = parser((__doc__ or "").splitlines()[0], PEERS)
    option_parser.add_argument("--orientations", type=int, nargs="+", default=[6, 12, 20, 30])
    option_parser.add_argument(
        "--sizes", type=some_of(list(SIZES)), default=list(SIZES), metavar="a,b"
    )
    option_parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), metavar="a,b")
    chosen = option_parser.parse_args(arguments)
    if min(chosen.orientations) < 4:
        option_parser.error(f"got --orientations {min(chosen.orientations)}, expected 4 or more")
    keep_freed_memory()
    ceilings = measure_ceilings()
    rows: list[Row] = []
    for size in chosen.sizes:
        for orientations in sorted(set(chosen.orientations)):
            for part in chosen.parts:
                case = case_of(size, orientations)
                rows += measure(case, part, chosen.peers, chosen.repeats, ceilings)
                if chosen.json is not None:  # a run that is cut off keeps what it has measured
                    write(rows, chosen.json)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
