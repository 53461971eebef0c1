"""The potential of positions and orientations: what is exact, and that forces are the gradient."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.data.atoms import Budget, Configuration, collate, to_graph
from equinet.groups import O
from equinet.models import (
    POTENTIALS,
    EnergyModel,
    OrientationPotential,
    Potential,
    potential_from_spec,
)
from equinet.nn import calibrate
from equinet.ops.graphs import GraphBatch
from equinet.ops.orientations import polyhedron

ELEMENTS, CUTOFF, REFERENCES = ("H", "O", "Si"), 3.0, (-13.6, -2041.3, -7900.1)
# One budget for nearly all graphs of this file: one compilation.
BUDGET = Budget(nodes=16, degree=12, graphs=2)
SMALL: dict[str, Any] = {
    "cutoff": CUTOFF,
    "channels": 4,
    "layers": 2,
    "basis": 4,
    "degree": 2,
    "resolution": 3,
    "widening": 2,
    "average_neighbours": 4.0,
    "energy_scale": 2.0,
    "reference_energies": REFERENCES,
}


def build(**words: Any) -> OrientationPotential:
    return OrientationPotential(ELEMENTS, **(SMALL | words), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def separable() -> OrientationPotential:
    return build()


@pytest.fixture(scope="module")
def positions() -> OrientationPotential:
    return build(variant="positions", layers=1, resolution=None)


@pytest.fixture(scope="module")
def shallow() -> OrientationPotential:
    """Quick to compile for second derivatives; the octahedron's vertices lie on the axes."""
    return build(layers=1, orientations=6)


def molecule(atoms: int, seed: int = 0) -> Configuration:
    """A random cluster of hydrogen and oxygen."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice([1, 8], atoms)
    return Configuration(numbers=numbers, positions=rng.uniform(-1.2, 1.2, (atoms, 3)))


def crystal() -> Configuration:
    """Rattled silicon in a skew cell smaller than twice the cutoff."""
    cell = 2.7 * (1 - np.eye(3)) + 0.1 * np.eye(3)[[1, 2, 0]]
    points = np.array([[0.1, 0, 0], [1.4, 1.3, 1.5]])
    return Configuration(np.array([14, 14]), points, cell, (True, True, True))


def padded(
    *configurations: Configuration, budget: Budget | None = BUDGET, dtype: Any = np.float64
) -> GraphBatch:
    graphs = [
        to_graph(configuration, cutoff=CUTOFF, elements=ELEMENTS)
        for configuration in configurations
    ]
    batch = collate(graphs, range(1), shards=1, budget=budget, dtype=dtype)
    return jax.tree.map(lambda array: jnp.asarray(array[0]), batch["graph"])


@jax.jit
def predict(model: EnergyModel, graph: GraphBatch) -> tuple[jax.Array, ...]:
    return model.energy_forces_stress(graph)


def moved(graph: GraphBatch, turn: np.ndarray, shift: float = 0.0) -> GraphBatch:
    """Every atom turned, then shifted, and the cell with them."""
    matrix = jnp.asarray(turn.T, graph.positions.dtype)
    found = {"positions": graph.positions @ matrix + shift, "cell": graph.cell @ matrix}
    return dataclasses.replace(graph, **found)


def errors(model: EnergyModel, graph: GraphBatch, turns: np.ndarray) -> list[float]:
    """Of energy, forces and stress under turns, relative to their size."""
    expected, worst = predict(model, graph), np.zeros(3)
    for turn in turns:
        back = jnp.asarray(turn, graph.positions.dtype)
        energy, forces, stress = predict(model, moved(graph, turn, 1.5))
        found = energy, forces @ back, back.T @ stress @ back
        for index, (one, two) in enumerate(zip(found, expected, strict=True)):
            worst[index] = max(worst[index], jnp.abs(one - two).max() / jnp.abs(two).max())
    return worst.tolist()


def test_invariant_under_the_symmetries_of_the_icosahedron(
    separable: OrientationPotential, x64: None
) -> None:
    """Reflections and translations among them, energies, forces and stress; others are not."""
    graph = padded(molecule(6), crystal())
    symmetries = polyhedron("icosahedron").symmetries(reflections=True)[0]
    assert max(errors(separable, graph, symmetries[::13])) < 1e-10
    others = np.asarray(O(3).sample(jax.random.key(1), (3,)))
    assert min(errors(separable, graph, others)) > 1e-6
    assert not separable.is_invariant


def test_positions_alone_are_invariant(positions: OrientationPotential, x64: None) -> None:
    graph = padded(molecule(6), crystal())
    turns = np.asarray(O(3).sample(jax.random.key(1), (4,)))
    assert max(errors(positions, graph, turns)) < 1e-10
    assert positions.is_invariant


def test_permutation(separable: OrientationPotential, x64: None) -> None:
    configuration, order = molecule(6), np.random.default_rng(1).permutation(6)
    shuffled = Configuration(
        numbers=configuration.numbers[order], positions=configuration.positions[order]
    )
    energy, forces, _ = predict(separable, padded(configuration, shuffled))
    np.testing.assert_allclose(energy[0], energy[1], rtol=1e-12)
    np.testing.assert_allclose(forces[6:12], forces[:6][order], atol=1e-12)


def derivative(function: Any, step: float = 1e-4) -> Any:
    """Of a function of one number at zero, by differences of fourth order."""
    near, far = (function(k * step) - function(-k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


def test_forces_and_stress_are_the_gradient(separable: OrientationPotential, x64: None) -> None:
    graph, rng = padded(molecule(6), crystal()), np.random.default_rng(2)
    _, forces, stress = (np.asarray(array) for array in predict(separable, graph))
    push = rng.normal(size=forces.shape)

    def pushed(step: float) -> jax.Array:
        change = {"positions": graph.positions + step * push}
        return predict(separable, dataclasses.replace(graph, **change))[0].sum()

    np.testing.assert_allclose(derivative(pushed), -np.sum(forces * push), rtol=1e-6)
    strain = rng.normal(size=(3, 3))

    def strained(step: float) -> jax.Array:
        change = np.eye(3) + step * (strain + strain.T) / 2
        return predict(separable, moved(graph, change))[0][1]

    volume = abs(np.linalg.det(graph.cell[1]))
    np.testing.assert_allclose(derivative(strained), volume * np.sum(stress[1] * strain), rtol=1e-6)
    assert not stress[0].any()


def test_padding_counts_for_nothing(separable: OrientationPotential, x64: None) -> None:
    """Molecules side by side or alone, in a larger budget, with an atom without neighbours."""
    first, lone = molecule(5), Configuration(numbers=np.array([8]), positions=np.zeros((1, 3)))
    together, alone = predict(separable, padded(first, lone)), predict(separable, padded(first))
    loose = predict(separable, padded(first, lone, budget=Budget(24, 8, 3)))
    for one, two in ((together, alone), (loose, together)):
        np.testing.assert_allclose(one[0][0], two[0][0], rtol=1e-12)
        np.testing.assert_allclose(one[1][:5], two[1][:5], atol=1e-12)
    np.testing.assert_allclose(loose[0][1], together[0][1], rtol=1e-12)
    assert loose[0][1] != 0
    assert not alone[0][1:].any()
    assert not loose[0][2:].any()
    assert not loose[1][5:].any()  # on the atom without neighbours, and on padding


def test_gradient_of_a_loss_on_forces(shallow: OrientationPotential, x64: None) -> None:
    """Finite with an atom without neighbours; what padding holds does not matter."""
    lone = Configuration(numbers=np.array([8]), positions=np.zeros((1, 3)))
    graph = padded(molecule(5), lone)

    @jax.jit
    def gradient(model: EnergyModel, graph: GraphBatch) -> EnergyModel:
        def loss(model: EnergyModel) -> jax.Array:
            energy, forces = model.energy_and_forces(graph)
            return jnp.sum(energy**2) + jnp.sum(forces**2)

        return jax.grad(loss)(model)

    padding = ~graph.node_mask
    other = dataclasses.replace(
        graph,
        positions=jnp.where(padding[:, None], 7.0, graph.positions),
        species=jnp.where(padding, 2, graph.species),
    )
    pairs = zip(*(jax.tree.leaves(gradient(shallow, g)) for g in (graph, other)), strict=True)
    for one, two in pairs:
        assert np.isfinite(one).all()
        np.testing.assert_allclose(two, one, atol=1e-6 * np.abs(one).max())


@jax.jit
def curvature(
    model: EnergyModel, positions: jax.Array, push: jax.Array, graph: GraphBatch
) -> jax.Array:
    """Of the energy along a push: the gradient of a function of the forces, as in training."""

    def work(positions: jax.Array) -> jax.Array:
        return -jnp.sum(model.energy_and_forces(moved_to(graph, positions))[1] * push)

    return jax.grad(work)(positions)


def moved_to(graph: GraphBatch, positions: jax.Array) -> GraphBatch:
    return dataclasses.replace(graph, positions=positions)


def test_second_derivatives(shallow: OrientationPotential, x64: None) -> None:
    """Those that a loss on forces takes, also where edges lie along orientations or atoms meet."""
    graph = padded(molecule(4))
    one, two = jnp.asarray(np.random.default_rng(2).normal(size=(2, *graph.positions.shape)))
    found = curvature(shallow, graph.positions, one, graph)
    other = curvature(shallow, graph.positions, two, graph)
    np.testing.assert_allclose(jnp.sum(found * two), jnp.sum(other * one), rtol=1e-10)

    def forces(step: float) -> jax.Array:
        return predict(shallow, moved_to(graph, graph.positions + step * one))[1]

    scale = float(jnp.abs(found).max())
    assert scale > 1e-3
    np.testing.assert_allclose(derivative(forces), -found, atol=1e-6 * scale)
    axes = np.concatenate([np.zeros((1, 3)), np.eye(3), np.zeros((12, 3))])
    twice = np.asarray(graph.positions).copy()
    twice[1] = twice[0]
    for singular in (axes, -axes, twice):
        found = np.asarray(curvature(shallow, jnp.asarray(singular), one, graph))
        assert np.isfinite(found).all()
        assert found[:4].any()
        assert not found[4:].any()


def test_continuous_at_the_cutoff(separable: OrientationPotential, x64: None) -> None:
    near, far = (
        Configuration(
            numbers=np.array([8, 1, 1]), positions=np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, r]])
        )
        for r in (CUTOFF - 1e-5, CUTOFF + 1e-5)
    )
    graphs = padded(near), padded(far)
    assert graphs[0].edge_mask.sum() > graphs[1].edge_mask.sum()
    for inside, outside in zip(*(predict(separable, graph) for graph in graphs), strict=True):
        np.testing.assert_allclose(inside, outside, atol=1e-7)


@pytest.mark.slow
def test_calibrated_kernels_keep_the_deviation(x64: None) -> None:
    """A second time nothing is left to change; before the first something was."""
    model, graph = build(layers=1, orientations=6), padded(molecule(6), molecule(5, seed=1))
    block: Any = model.network.blocks[0]
    before = np.asarray(block.convolution.spatial.kernel[...])
    calibrate(model, graph)
    once = jax.tree.leaves(nnx.state(model))
    assert not np.allclose(block.convolution.spatial.kernel[...], before)
    calibrate(model, graph)
    for one, two in zip(once, jax.tree.leaves(nnx.state(model)), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5)


def test_rebuilt_from_its_spec(separable: OrientationPotential) -> None:
    graph = padded(molecule(6), dtype=np.float32)
    spec = json.loads(json.dumps({"network": "ponita", **separable.spec()}))
    other = potential_from_spec(spec, rngs=nnx.Rngs(5))
    assert isinstance(other, OrientationPotential)
    assert other.spec() == separable.spec()
    assert predict(other, graph)[0][0] != predict(separable, graph)[0][0]
    nnx.update(other, nnx.state(separable))
    for one, two in zip(predict(other, graph), predict(separable, graph), strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_array_equal(one, two)
    assert other.reference_energy(np.array([1, 0, 0])) == -2041.3 - 2 * 13.6


def test_an_old_spec_is_of_irreps() -> None:
    words: dict[str, Any] = {"correlation": 1, "radial_hidden": (2,), "radial_degree": 2}
    old = Potential(ELEMENTS, lmax=0, channels=2, layers=1, **words, rngs=nnx.Rngs(0)).spec()
    assert "network" not in old
    assert type(potential_from_spec(old)) is POTENTIALS["irreps"] is Potential
    with pytest.raises(ValueError, match=r"unknown network 'egnn', expected one of \['irreps'"):
        potential_from_spec(old | {"network": "egnn"})


@pytest.mark.slow
def test_half_precision(separable: OrientationPotential) -> None:
    graph = padded(molecule(6), dtype=np.float32)
    half = OrientationPotential(**separable.spec(), dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    nnx.update(half, nnx.state(separable))
    coarse, fine = (predict(model, graph)[0] for model in (half, separable))
    assert coarse.dtype == jnp.float32
    np.testing.assert_allclose(coarse, fine, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"elements": ("H", "H")}, r"elements must be distinct .* got \('H', 'H'\)"),
        ({"reference_energies": (1.0,)}, "one number for each of 3 elements, got 1"),
        ({"variant": "edges"}, "unknown variant 'edges', expected one of"),
        ({"orientations": 3}, "a fibonacci needs at least 4 orientations, got 3"),
        ({"layers": 0}, "must be at least 1"),
        ({"resolution": 0}, "resolution must be at least 1"),
        ({"cutoff": 0.0}, "cutoff must be positive"),
    ],
)
def test_bad_words(words: dict, message: str) -> None:
    words = {"elements": ELEMENTS} | SMALL | words
    with pytest.raises(ValueError, match=message):
        OrientationPotential(words.pop("elements"), **words, rngs=nnx.Rngs(0))
