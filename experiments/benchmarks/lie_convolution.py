"""How long do convolutions on images and groups take, and how much memory?

    python -m experiments.benchmarks.lie_convolution [--peers escnn] [--parts finite,sampled]
        [--json FILE]

Float32. Part `finite`: regular fields of Cyclic(4), Cyclic(8) and Dihedral(4), full kernels, 32 x
32 pixels, batch 64; forward+backward gives the gradients of the input and of all parameters. The
kernels are made from the parameters at every call, by both. escnn's layers have a basis of smooth
kernels in place of free values on a grid: less parameters, the same convolution; before the timing
both must commute with quarter turns. Part `sampled`: GL+(2), time and temporaries for one batch
against channels, samples and size of the image, for every form of the kernel.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from equinet import groups
from equinet.groups import group_nodes
from equinet.nn import GroupConvolution
from equinet.ops.images import window_half_width
from equinet.reps import Images, Regular
from equinet.training import keep_freed_memory
from experiments.benchmarks.harness.race import (
    Ceilings,
    Contender,
    Jitted,
    Worker,
    WorkerError,
    measure_ceilings,
    race,
)
from experiments.benchmarks.harness.rows import (
    OURS,
    Row,
    parser,
    report,
    some_of,
    version_of,
    write,
)
from experiments.benchmarks.harness.sides import start_worker

NAME = "lie_convolution"
PEERS = ("escnn",)
PARTS = ("finite", "sampled")
DIRECTIONS = ("forward", "forward+backward")
FINITE = ("Cyclic(4)", "Cyclic(8)", "Dihedral(4)")
FINITE_CASE = {"channels": 16, "batch": 64, "size": 32, "width": 3}
SAMPLED = {"channels": 24, "samples": 8, "size": 20, "form": "separable"}
VARIED: dict[str, tuple[Any, ...]] = {
    "channels": (12, 48),
    "samples": (4, 16, 32),
    "size": (10, 40),
    "form": ("full", "depthwise"),
}
SAMPLED_BATCH, RADIUS, SCALE = 16, 2.0, 0.5
LARGEST_ERROR = 1e-4


def group_of(name: str) -> groups.FiniteGroup:
    """The group by its name."""
    kind, order = name[:-1].split("(")
    return getattr(groups, kind)(int(order))


def contender(layer: nnx.Module, nodes: Any, x: jax.Array, direction: str) -> Jitted:
    """A layer compiled for a direction: its output, or that and all gradients."""
    graphdef, params = nnx.split(layer)

    def forward(params: nnx.State, x: jax.Array) -> jax.Array:
        module: Any = nnx.merge(graphdef, params)
        return module(x, nodes)

    def both(params: nnx.State, x: jax.Array) -> Any:
        y, backward = jax.vjp(forward, params, x)
        return y, backward(jnp.ones_like(y))

    function = forward if direction == "forward" else both
    version = version_of(OURS)
    made = Jitted(OURS, function, (params, x), version=version)
    made.facts["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(params))
    return made


def finite_layer(name: str) -> GroupConvolution:
    """Our layer of a finite case."""
    channels, radius = FINITE_CASE["channels"], FINITE_CASE["width"] // 2
    group = group_of(name)
    return GroupConvolution(group, channels, channels, radius=radius, form="full", rngs=nnx.Rngs(0))


def quarter_turn_error(layer: GroupConvolution) -> float:
    """How far a quarter turn is from exact."""
    group: Any = layer.group
    space, nodes = Images(Regular(group)), group_nodes(group, dtype=jnp.float32)
    shape = (1, 9, 9, group.order, layer.channels_in)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    quarter = jnp.int32(group.n // 4)
    turned = layer(space.transform(quarter, x), nodes)
    expected = space.transform(quarter, layer(x, nodes))
    return float(jnp.abs(turned - expected).max() / jnp.sqrt(jnp.mean(expected**2)))


def judge(found: Any) -> None:
    """Refuses layers that do not commute with quarter turns.

    Raises:
        ValueError: If the error is larger than rounding.
    """
    if not float(found["error"]) < LARGEST_ERROR:
        raise ValueError(f"a quarter turn is off by {float(found['error']):.1e}")


def finite_rows(
    name: str, direction: str, peers: Sequence[str], repeats: int, ceilings: Ceilings
) -> list[Row]:
    """Ours and escnn on regular fields."""
    group = group_of(name)
    case = {"group": name, **FINITE_CASE, "dtype": "float32"}
    head = {"benchmark": NAME, "case": case, "direction": direction, "part": "finite"}
    layer = finite_layer(name)
    judge({"error": quarter_turn_error(layer)})
    size, channels = FINITE_CASE["size"], FINITE_CASE["channels"]
    shape = (FINITE_CASE["batch"], size, size, group.order, channels)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    racing: list[Contender] = [contender(layer, group_nodes(group, dtype=x.dtype), x, direction)]
    rows: list[Row] = []
    if "escnn" in peers:
        try:
            options = case | {"direction": direction}
            racing.append(start_worker("escnn", "escnn", "escnn_worker.py", options, judge))
        except WorkerError as error:
            rows.append({**head, "library": "escnn", "error": str(error)})
    flops = 2.0 * x.size * group.order * channels * FINITE_CASE["width"] ** 2
    floor = ceilings.floor_ms(flops=flops * (1 if direction == "forward" else 3))
    try:
        return [*race(racing, **head, repeats=repeats, floor_ms=floor), *rows]
    finally:
        for each in racing:
            if isinstance(each, Worker):
                each.close()


def sampled_cases() -> list[dict[str, Any]]:
    """The middle case, and others that differ from it in one word.

    >>> len(sampled_cases())
    10
    """
    cases = [dict(SAMPLED)]
    for name, values in VARIED.items():
        cases += [SAMPLED | {name: value} for value in values]
    return cases


def sampled_rows(case: dict[str, Any], direction: str, repeats: int) -> list[Row]:
    """Ours with GL+(2), which no peer has."""
    group, channels = groups.GLPlus(2), case["channels"]
    options: Any = {"radius": RADIUS, "half_width": window_half_width(RADIUS, SCALE)}
    make = functools.partial(GroupConvolution, group, channels, channels, form=case["form"])
    layer = make(scale=SCALE, **options, rngs=nnx.Rngs(0))
    nodes = group_nodes(group, jax.random.key(0), case["samples"], scale=SCALE, dtype=jnp.float32)
    shape = (SAMPLED_BATCH, case["size"], case["size"], case["samples"], channels)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    sampled = {"group": str(group), **case, "batch": SAMPLED_BATCH, "dtype": "float32"}
    head = {"benchmark": NAME, "case": sampled, "direction": direction, "part": "sampled"}
    return race([contender(layer, nodes, x, direction)], **head, repeats=repeats, floor_ms=None)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: both parts."""
    option_parser = parser((__doc__ or "").splitlines()[0], PEERS)
    option_parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), metavar="a,b")
    chosen = option_parser.parse_args(arguments)
    keep_freed_memory()
    ceilings = measure_ceilings()
    rows: list[Row] = []
    for direction in DIRECTIONS:
        for name in FINITE if "finite" in chosen.parts else ():
            rows += finite_rows(name, direction, chosen.peers, chosen.repeats, ceilings)
            _keep(rows, chosen.json)
        for case in sampled_cases() if "sampled" in chosen.parts else ():
            rows += sampled_rows(case, direction, chosen.repeats)
            _keep(rows, chosen.json)
    report(rows, chosen.json)


def _keep(rows: Sequence[Row], file: pathlib.Path | None) -> None:
    """A run that is cut off keeps what it has measured."""
    if file is not None:
        write(rows, file)


if __name__ == "__main__":
    main()
