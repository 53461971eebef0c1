"""How long do exp, log and their Jacobians of many group elements take?

    python -m experiments.benchmarks.lie_groups [--peers jaxlie,jax] [--count 100000] [--json FILE]

SO(3) and SE(3) in closed form against jaxlie, each library on elements as it stores them (here
matrices, there quaternions); the part `matrix` gives jaxlie the matrices too. The Jacobian is that
of log, from the element. A tenth as many of GL+(3) and Sp(4) by general rules, exp against
`jax.scipy.linalg.expm`. Float32, all in one process. The direction forward+backward also
differentiates a weighted sum of the output in the input. Before the timing the results are
compared.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import jaxlie
import numpy as np
from jaxtyping import Array, Float

from equinet.groups import SE, SO, GLPlus, MatrixLieGroup, Sp
from experiments.benchmarks.harness.race import Contender, Jitted, race
from experiments.benchmarks.harness.rows import OURS, Row, parser, report

COUNT = 100_000
PEERS = ("jaxlie", "jax")
LARGEST_ERROR = 1e-3
Map = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Side:
    """What one library computes in a case.

    Attributes:
        function: The map that is timed.
        inputs: What it is applied to.
        result: Makes of its output what can be compared.
    """

    function: Map
    inputs: Array
    result: Map = lambda x: x


def coordinates(group: MatrixLieGroup, count: int) -> Float[Array, "count d"]:
    """Normal numbers, and rotation angles below 3."""
    v = np.random.default_rng(0).normal(size=(count, len(group.lie_algebra())))
    if group.closed_form is not None:
        turns = v[:, -3:]
        size = np.linalg.norm(turns, axis=-1, keepdims=True)
        v[:, -3:] = turns * np.minimum(1, 3 / size)
    else:
        v *= 0.3
    return jnp.asarray(v, jnp.float32)


def motions(group: SO | SE, count: int) -> dict[str, tuple[Side, Side]]:
    """Ours and jaxlie's side of every part."""
    peer = jaxlie.SO3 if isinstance(group, SO) else jaxlie.SE3
    v = coordinates(group, count)
    theirs = jax.jit(lambda v: peer.exp(v).parameters())(v)
    ours = jax.jit(lambda p: peer(p).as_matrix())(theirs)
    to_matrix = jax.jit(lambda p: peer(p).as_matrix())

    def jacobian(g: Array) -> Array:
        return group.right_jacobian_inverse(group.log_coordinates(g))

    return {
        "exp": (
            Side(group.exp_coordinates, v),
            Side(lambda v: peer.exp(v).parameters(), v, to_matrix),
        ),
        "exp, matrix": (
            Side(group.exp_coordinates, v),
            Side(lambda v: peer.exp(v).as_matrix(), v),
        ),
        "log": (
            Side(group.log_coordinates, ours),
            Side(lambda p: peer(p).log(), theirs),
        ),
        "log, matrix": (
            Side(group.log_coordinates, ours),
            Side(lambda g: peer.from_matrix(g).log(), ours),
        ),
        "jacobian": (Side(jacobian, ours), Side(lambda p: peer(p).jlog(), theirs)),
        "adjoint": (Side(group.adjoint, ours), Side(lambda p: peer(p).adjoint(), theirs)),
    }


def general(group: MatrixLieGroup, count: int) -> dict[str, tuple[Side, Side | None]]:
    """Ours, and for exp that of JAX."""
    v = coordinates(group, count)
    algebra = group.hat(v)

    def exp(algebra: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return jax.scipy.linalg.expm(algebra)

    def jacobian(v: Array) -> Array:
        return group.right_jacobian_inverse(v)

    g = jax.jit(group.exp)(algebra)
    return {
        "exp": (Side(group.exp, algebra), Side(exp, algebra)),
        "log": (Side(group.log_coordinates, g), None),
        "jacobian": (Side(jacobian, v), None),
    }


def with_gradient(function: Map) -> Callable[[Array], tuple[Array, Array]]:
    """The output, and the gradient of a weighted sum of it."""

    def both(x: Array) -> tuple[Array, Array]:
        out, back = jax.vjp(function, x)
        weights = jnp.cos(jnp.arange(out[0].size, dtype=out.dtype)).reshape(1, *out.shape[1:])
        return out, back(jnp.broadcast_to(weights, out.shape))[0]

    return both


def rows_of(
    group: MatrixLieGroup,
    sides: dict[str, tuple[Side, Side | None]],
    peer: str | None,
    *,
    repeats: int,
) -> list[Row]:
    """Compares the results of each part, then times them.

    Raises:
        RuntimeError: If ours and the peer's results differ.
    """
    rows = []
    for part, (ours, theirs) in sides.items():
        case = {"group": str(group), "elements": len(ours.inputs), "dtype": "float32"}
        for direction in ("forward", "forward+backward"):
            wrap = (lambda f: f) if direction == "forward" else with_gradient
            mine = Jitted(OURS, wrap(ours.function), [ours.inputs])
            contenders: list[Contender] = [mine]
            if theirs is not None and peer is not None:
                other = Jitted(peer, wrap(theirs.function), [theirs.inputs])
                if direction == "forward":
                    compare(part, ours.result(mine.output()), theirs.result(other.output()))
                contenders.append(other)
            head = {"benchmark": "lie_groups", "case": case, "direction": direction}
            rows += race(contenders, **head, part=part, repeats=repeats)
    return rows


def compare(part: str, ours: Array, theirs: Array) -> None:
    """Raises where more than one element in ten thousand differs by more than the rounding."""
    error = np.abs(np.asarray(ours, float) - np.asarray(theirs, float))
    worst = np.quantile(error.reshape(len(error), -1).max(-1), 0.9999)
    if not worst < LARGEST_ERROR:
        raise RuntimeError(f"{part}: the results differ by {worst:.1e}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    option_parser = parser(__doc__ or "", PEERS)
    option_parser.add_argument("--count", type=int, default=COUNT, help="elements")
    options = option_parser.parse_args(arguments)
    rows = []
    for group in (SO(3), SE(3)):
        peer = "jaxlie" if "jaxlie" in options.peers else None
        rows += rows_of(group, dict(motions(group, options.count)), peer, repeats=options.repeats)
    for group in (GLPlus(3), Sp(4)):
        peer = "jax" if "jax" in options.peers else None
        rows += rows_of(
            group, general(group, -(-options.count // 10)), peer, repeats=options.repeats
        )
    report(rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
