"""The potential: a smooth, invariant, extensive energy whose gradient the forces are."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from equinet.data.atoms import Budget, Configuration, collate, from_atoms, to_graph
from equinet.groups import E
from equinet.models import EnergyModel, Potential, potential_from_spec
from equinet.nn import convolution
from equinet.ops.graphs import GraphBatch
from equinet.ops.products import PRODUCTS
from equinet.reps import Points, Vector, WithoutChannels
from equinet.testing import assert_equivariant, equivariance_error

ELEMENTS, CUTOFF = ("H", "O", "Si"), 3.0
# One budget for nearly all graphs of this file: one compilation.
BUDGET = Budget(nodes=16, degree=12, graphs=2)
SMALL = {
    "cutoff": CUTOFF,
    "channels": 2,
    "radial_hidden": (4,),
    "radial_degree": 6,
    "readout_hidden": 4,
    "average_neighbours": 4.0,
}
FAMILIES = {
    "mace": {"lmax": 2, "correlation": 2, "gate": False},
    "nequip": {"lmax": 2, "correlation": 1, "gate": True, "hidden": "0e+0o+1o"},
}
MOVED = [("clebsch_gordan", kind) for kind in convolution.CONVOLUTIONS if kind != "clebsch_gordan"]
E3 = E(3)
FORCES = WithoutChannels(Vector(E3))


def build(**words: Any) -> Potential:
    return Potential(ELEMENTS, **(SMALL | words), rngs=nnx.Rngs(0))


def molecule(atoms: int, seed: int = 0) -> Configuration:
    """A random cluster of hydrogen and oxygen."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice([1, 8], atoms)
    return Configuration(numbers=numbers, positions=rng.uniform(-1.2, 1.2, (atoms, 3)))


def silicon(repeat: tuple[int, int, int] = (1, 1, 1)) -> Configuration:
    """Rattled silicon; a cell smaller than twice the cutoff."""
    atoms = ase.build.bulk("Si")
    atoms.positions += 0.1 * np.random.default_rng(0).normal(size=(2, 3))
    return from_atoms(atoms.repeat(repeat), molecule=None)


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
def predict(model: Potential, graph: GraphBatch) -> tuple[jax.Array, jax.Array]:
    return model.energy_and_forces(graph)


@jax.jit
def predict_stress(model: Potential, graph: GraphBatch) -> tuple[jax.Array, ...]:
    return model.energy_forces_stress(graph)


def energies(model: Potential, *configurations: Configuration) -> np.ndarray:
    """Energy of every configuration, in batches of one budget."""
    pairs = itertools.batched(configurations, BUDGET.graphs)
    found = [predict(model, padded(*pair))[0][: len(pair)] for pair in pairs]
    return np.concatenate(found)


@functools.cache
def trained(name: str) -> Potential:
    """A model after a few Adam steps on random energies and forces."""
    graphdef, params = nnx.split(build(**FAMILIES[name]))
    graph = padded(molecule(5, seed=7), molecule(6, seed=8), dtype=np.float32)
    optimizer = optax.adam(0.02)

    def loss(params: nnx.State) -> jax.Array:
        energy, forces = nnx.merge(graphdef, params).energy_and_forces(graph)
        return jnp.mean((energy - 1) ** 2) + jnp.mean((forces - 0.1) ** 2)

    @jax.jit
    def step(params: nnx.State, state: optax.OptState) -> tuple:
        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state, losses = optimizer.init(params), []
    for _ in range(6):
        params, state, value = step(params, state)
        losses.append(float(value))
    assert losses[-1] < losses[0]
    return nnx.merge(graphdef, params)


@pytest.fixture(params=sorted(FAMILIES))
def model(request: pytest.FixtureRequest) -> Potential:
    with jax.enable_x64(False):
        return trained(request.param)


@pytest.fixture
def mace() -> Potential:
    with jax.enable_x64(False):
        return trained("mace")


@pytest.mark.parametrize("state", ["random", "trained"])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_invariant_energy_and_equivariant_forces(name: str, state: str, key: jax.Array) -> None:
    """Under E(3): rotations, the inversion and translations; float32 is traced first."""
    model = trained(name) if state == "trained" else build(**FAMILIES[name])
    for dtype, atol in ((np.float32, 1e-3), (np.float64, 1e-10)):
        with jax.enable_x64(dtype == np.float64):
            graph = padded(molecule(6), dtype=dtype)

            def function(positions: jax.Array, graph: GraphBatch = graph) -> tuple:
                return predict(model, dataclasses.replace(graph, positions=positions))

            positions = np.asarray(graph.positions)
            reps = Points(E3), (None, FORCES)
            options = {"inputs": positions, "num_samples": 4, "group": E3}
            assert_equivariant(function, *reps, key, atol=atol, **options)


@pytest.mark.parametrize(
    ("product", "convolution"),
    [*((product, "clebsch_gordan") for product in sorted(PRODUCTS)), *MOVED],
)
def test_every_product_and_convolution(product: str, convolution: str, key: jax.Array) -> None:
    """By one word each; atoms on all axes, where the rotation of an edge could be singular."""
    model = build(lmax=2, layers=2, correlation=2, product=product, convolution=convolution)
    axes = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]) * 1.1
    cross = Configuration(numbers=np.array([8, 1, 1, 8, 1, 8, 1]), positions=axes)
    with jax.enable_x64(True):
        graph = padded(cross)

        @jax.jit
        def function(positions: jax.Array) -> tuple:
            return model.energy_and_forces(dataclasses.replace(graph, positions=positions))

        reps, positions = (Points(E3), (None, FORCES)), np.asarray(graph.positions)
        options = {"inputs": positions, "num_samples": 2, "group": E3}
        assert_equivariant(function, *reps, key, atol=1e-10, **options)
        step = 1e-5 * np.random.default_rng(0).normal(size=positions.shape)
        up, down = (function(positions + s * step)[0].sum() for s in (1, -1))
        slope = -2 * np.sum(step * np.asarray(function(positions)[1]))
        np.testing.assert_allclose(up - down, slope, rtol=1e-4, atol=1e-12)


def test_controls_fail(key: jax.Array, x64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces taken for invariants, and one component of the filters twice as large."""
    model = build(lmax=2, layers=1)
    graph = padded(molecule(6))
    options = {"inputs": np.asarray(graph.positions), "num_samples": 4, "group": E3}

    def compiled() -> Callable:
        def function(positions: jax.Array) -> tuple:
            return model.energy_and_forces(dataclasses.replace(graph, positions=positions))

        return jax.jit(function)

    right = compiled()
    assert equivariance_error(right, Points(E3), (None, FORCES), key, **options) < 1e-10
    assert equivariance_error(right, Points(E3), (None, None), key, **options) > 0.1
    harmonics, scale = convolution.spherical_harmonics, np.ones((1, 9))
    scale[0, 4] = 2
    monkeypatch.setattr(convolution, "spherical_harmonics", lambda l, r: harmonics(l, r) * scale)
    assert equivariance_error(compiled(), Points(E3), (None, FORCES), key, **options) > 0.01


def test_permutation(model: Potential, x64: None) -> None:
    configuration, order = molecule(6), np.random.default_rng(1).permutation(6)
    shuffled = Configuration(
        numbers=configuration.numbers[order], positions=configuration.positions[order]
    )
    energy, forces = predict(model, padded(configuration, shuffled))
    np.testing.assert_allclose(energy[0], energy[1], rtol=1e-12)
    np.testing.assert_allclose(forces[6:12], forces[:6][order], atol=1e-12)


def test_forces_are_the_gradient(model: Potential, x64: None) -> None:
    for configuration in (molecule(6), silicon()):
        graph, step = padded(configuration), 1e-4
        forces = np.asarray(predict(model, graph)[1])

        def energy(shift: np.ndarray, graph: GraphBatch = graph) -> float:
            moved = dataclasses.replace(graph, positions=graph.positions + shift)
            return float(predict(model, moved)[0].sum())

        for atom, axis in itertools.product(range(2), range(3)):
            shift = np.zeros(forces.shape)
            shift[atom, axis] = step
            # Fourth order, so that truncation stays below the tolerance.
            near, far = (energy(k * shift) - energy(-k * shift) for k in (1, 2))
            slope = (8 * near - far) / (12 * step)
            scale = np.abs(forces).max()
            assert abs(forces[atom, axis] + slope) < 1e-6 * scale


@jax.jit
def second_derivatives(model: Potential, positions: jax.Array, graph: GraphBatch) -> jax.Array:
    def energy(positions: jax.Array) -> jax.Array:
        return model.energy(dataclasses.replace(graph, positions=positions)).sum()

    return jax.jacrev(jax.grad(energy))(positions)


def clusters() -> Sequence[np.ndarray]:
    """Five atoms: anywhere; with edges along all half axes; with two at one point."""
    axes = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, -1.0]])
    twice = molecule(5).positions.copy()
    twice[1] = twice[0]
    return [molecule(5).positions, axes, -axes, twice]


def test_hessian_is_symmetric_and_finite_at_singular_points(mace: Potential, x64: None) -> None:
    close = dataclasses.replace(molecule(5), positions=0.7 * molecule(5).positions)
    graph = padded(close, budget=Budget(nodes=6, degree=4, graphs=1))
    assert graph.edge_mask.sum() == 20  # all see all
    for positions in clusters():
        padding = np.zeros((1, 3))
        points = jnp.asarray(np.concatenate([positions, padding]))
        hessian = np.asarray(second_derivatives(mace, points, graph)).reshape(18, 18)
        assert np.isfinite(hessian).all()
        assert np.abs(hessian[:15, :15]).max() > 1e-3
        assert not hessian[15:].any()
        np.testing.assert_allclose(hessian, hessian.T, atol=1e-10 * np.abs(hessian).max())
        rigid = hessian.reshape(18, 6, 3).sum(1)  # translations change no force
        np.testing.assert_allclose(rigid, 0, atol=1e-10 * np.abs(hessian).max())


def test_forward_and_reverse_second_derivatives_agree(x64: None) -> None:
    model = build(lmax=1, layers=1, chunk_bytes=1024)
    graph = padded(molecule(4), budget=Budget(nodes=5, degree=3, graphs=1))

    def energy(positions: jax.Array) -> jax.Array:
        return model.energy(dataclasses.replace(graph, positions=positions)).sum()

    def both(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.hessian(energy)(positions), jax.jacrev(jax.grad(energy))(positions)

    forward, reverse = jax.jit(both)(graph.positions)
    assert np.abs(forward).max() > 1e-3
    np.testing.assert_allclose(forward, reverse, atol=1e-12)


def test_stress_is_the_derivative_by_strain(model: Potential, x64: None) -> None:
    graph = padded(silicon(), molecule(4))
    energy, forces, stress = (np.asarray(a) for a in predict_stress(model, graph))
    plain = predict(model, graph)
    np.testing.assert_allclose(energy, plain[0], rtol=1e-13)
    np.testing.assert_allclose(forces, plain[1], atol=1e-12)
    assert not stress[1].any()
    np.testing.assert_allclose(stress[0], stress[0].T, atol=1e-14)
    volume, step = abs(np.linalg.det(graph.cell[0])), 1e-4

    def strained(strain: np.ndarray) -> float:
        change = np.eye(3) + strain
        moved = {"positions": graph.positions @ change, "cell": graph.cell @ change}
        return float(predict(model, dataclasses.replace(graph, **moved))[0][0])

    scale = np.abs(stress[0]).max()
    for a, b in itertools.combinations_with_replacement(range(3), 2):
        strain = np.zeros((3, 3))
        strain[a, b] += step / 2
        strain[b, a] += step / 2
        near, far = (strained(k * strain) - strained(-k * strain) for k in (1, 2))
        slope = (8 * near - far) / (12 * step) / volume
        assert abs(stress[0, a, b] - slope) < 1e-6 * scale


def test_energy_is_extensive(model: Potential, x64: None) -> None:
    """A supercell, molecules far apart in one configuration, and molecules in one batch."""
    single, double = energies(model, silicon(), silicon((1, 2, 1)))
    np.testing.assert_allclose(double, 2 * single, rtol=1e-12)
    first, second = molecule(5, seed=1), molecule(6, seed=2)
    apart = Configuration(
        numbers=np.concatenate([first.numbers, second.numbers]),
        positions=np.concatenate([first.positions, second.positions + 50.0]),
    )
    one, two, both = energies(model, first, second, apart)
    np.testing.assert_allclose(both, one + two, rtol=1e-12)
    alone = [predict(model, padded(configuration)) for configuration in (first, second)]
    together = predict(model, padded(first, second))
    np.testing.assert_allclose([e[0][0] for e in alone], together[0], rtol=1e-12)
    forces = np.concatenate([alone[0][1][:5], alone[1][1][:6]])
    np.testing.assert_allclose(forces, together[1][:11], atol=1e-12)
    assert not np.asarray(together[1][11:]).any()


def test_isolated_atom_and_empty_batch(model: Potential, x64: None) -> None:
    lone = Configuration(numbers=np.array([8]), positions=np.zeros((1, 3)))
    graph = padded(lone)
    energy, forces = predict(model, graph)
    assert np.isfinite(energy[0])
    assert energy[0] != 0
    assert not np.asarray(forces).any()
    masks = {name: jnp.zeros_like(getattr(graph, name)) for name in ("node_mask", "graph_mask")}
    for result in predict(model, dataclasses.replace(graph, **masks)):
        assert not np.asarray(result).any()


def test_an_atom_that_leaves_the_cutoff_takes_nothing_with_it(mace: Potential, x64: None) -> None:
    """Energy and forces are continuous where the list of neighbours changes."""
    near, far = (
        Configuration(
            numbers=np.array([8, 1, 1]), positions=np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, r]])
        )
        for r in (CUTOFF - 1e-5, CUTOFF + 1e-5)
    )
    graphs = padded(near), padded(far)
    assert graphs[0].edge_mask.sum() > graphs[1].edge_mask.sum()
    for inside, outside in zip(*(predict(mace, graph) for graph in graphs), strict=True):
        np.testing.assert_allclose(inside, outside, atol=1e-7)


@pytest.fixture
def light() -> Potential:
    """Two layers, quick to compile twice."""
    with jax.enable_x64(False):
        return build(lmax=1, correlation=1, gate=True)


def test_padding_changes_nothing(light: Potential, x64: None) -> None:
    """Energies, forces, and the gradient of a loss on them by the parameters."""
    configurations = molecule(5), molecule(4, seed=1)

    @jax.jit
    def gradient(model: Potential, graph: GraphBatch) -> tuple:
        def loss(model: Potential) -> tuple:
            energy, forces = model.energy_and_forces(graph)
            return jnp.sum(energy**2) + jnp.sum(forces**2), (energy, forces)

        (_, results), gradients = jax.value_and_grad(loss, has_aux=True)(model)
        return *results, gradients

    tight = gradient(light, padded(*configurations, budget=Budget(nodes=9, degree=4, graphs=2)))
    loose = gradient(light, padded(*configurations, budget=Budget(nodes=24, degree=10, graphs=5)))
    np.testing.assert_allclose(loose[0][:2], tight[0], rtol=1e-13)
    assert not np.asarray(loose[0][2:]).any()
    np.testing.assert_allclose(loose[1][:9], tight[1], atol=1e-13)
    for one, two in zip(jax.tree.leaves(loose[2]), jax.tree.leaves(tight[2]), strict=True):
        scale = max(np.abs(two).max(), 1e-6)
        np.testing.assert_allclose(one, two, atol=2e-6 * scale)  # the parameters are float32


@pytest.mark.slow
def test_chunks_shards_and_types(light: Potential) -> None:
    graph = padded(molecule(5), molecule(4, seed=1), dtype=np.float32)
    energy, forces = predict(light, graph)
    assert energy.dtype == forces.dtype == jnp.float32
    chunked = Potential.from_spec(light.spec() | {"chunk_bytes": 256})
    nnx.update(chunked, nnx.state(light))
    assert "while" in predict.lower(chunked, graph).as_text()
    for ours, theirs in zip(predict(chunked, graph), (energy, forces), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), graph)
    mapped = jax.jit(jax.vmap(lambda graph: light.energy(graph)))(stacked)
    np.testing.assert_allclose(mapped[1], energy, rtol=1e-5)
    half = Potential(**light.spec(), dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    nnx.update(half, nnx.state(light))
    coarse = predict(half, graph)[0]
    assert coarse.dtype == jnp.float32
    np.testing.assert_allclose(coarse, energy, rtol=0.1, atol=0.05)


def test_rebuilt_from_its_spec(light: Potential) -> None:
    graph = padded(molecule(5), dtype=np.float32)
    spec = json.loads(json.dumps(light.spec()))
    other = Potential.from_spec(spec, rngs=nnx.Rngs(5))
    assert other.spec() == light.spec()
    assert jax.tree.structure(other) == jax.tree.structure(light)
    assert predict(other, graph)[0][0] != predict(light, graph)[0][0]
    nnx.update(other, nnx.state(light))
    np.testing.assert_array_equal(predict(other, graph)[0], predict(light, graph)[0])


def test_state_is_parameters_alone(light: Potential) -> None:
    for model in (light, build(**FAMILIES["nequip"])):
        leaves = jax.tree.leaves(nnx.state(model), is_leaf=lambda x: isinstance(x, nnx.Variable))
        assert {type(leaf) for leaf in leaves} == {nnx.Param}
        assert len(leaves) == len(jax.tree.leaves(model))


def test_reference_energies_are_added_on_the_host() -> None:
    references = (-13.6, -2041.3, -7900.1)
    model = build(lmax=1, layers=1, reference_energies=references)
    assert model.reference_energy(np.array([1, 0, 0])) == -2041.3 - 2 * 13.6
    assert model.spec()["reference_energies"] == list(references)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"elements": ("H", "H")}, r"elements must be distinct .* got \('H', 'H'\)"),
        ({"elements": ()}, "elements must be distinct chemical symbols"),
        ({"reference_energies": (1.0,)}, "one number for each of 3 elements, got 1"),
        ({"layers": 0}, "layers and channels must be at least 1, got 0 and 2"),
        ({"hidden": "1o"}, "hidden irreps must hold 0e for the energy, got 1o"),
        ({"hidden": "0f"}, "cannot read irreps"),
        ({"product": "gant"}, "unknown product 'gant'"),
        ({"convolution": "so3"}, "unknown convolution 'so3'"),
        ({"radial_basis": "sine"}, "unknown radial basis 'sine'"),
        ({"correlation": 0}, "correlation must be at least 1, got 0"),
    ],
)
def test_bad_words(words: dict, message: str) -> None:
    words = {"elements": ELEMENTS, "lmax": 1} | SMALL | words
    with pytest.raises(ValueError, match=message):
        Potential(words.pop("elements"), **words, rngs=nnx.Rngs(0))


def test_spec_keeps_the_types_and_refuses_arguments_without_effect() -> None:
    half = build(dtype=jnp.bfloat16, precision="highest")
    again = Potential.from_spec(json.loads(json.dumps(half.spec())))
    assert (again.dtype, again.precision) == ("bfloat16", "highest")
    assert again.radial.mlp.dtype == "bfloat16"
    assert "dtype" not in build().spec()
    assert hash(nnx.graphdef(build())) == hash(nnx.graphdef(build()))
    with pytest.raises(ValueError, match="'product' has no effect on the network 'ponita': it bel"):
        potential_from_spec({"network": "ponita", "elements": ["H"], "product": "nonsense"})
    with pytest.raises(TypeError, match="has no option 'chanels': did you mean channels"):
        build(chanels=2)


class Uniform(EnergyModel):
    """The same energy for every atom."""

    def __init__(
        self,
        elements: Sequence[str],
        *,
        cutoff: float = 3.0,
        energy_scale: float = 1.0,
        reference_energies: Sequence[float] | None = None,
        rngs: nnx.Rngs,
        **options: Any,
    ) -> None:
        super().__init__(locals(), rngs=rngs, options=options)

    def __call__(self, graph: GraphBatch) -> jax.Array:
        return jnp.where(graph.node_mask, self.energy_scale, 0.0).astype(graph.positions.dtype)


def test_energy_model_of_ones_own() -> None:
    """The contract of ``EnergyModel`` is all that is asked."""
    model = Uniform(ELEMENTS, energy_scale=2.0, rngs=nnx.Rngs(0))
    assert Uniform.from_spec(model.spec()).spec() == model.spec()
    assert float(model.energy(padded(molecule(3), dtype=np.float32))[0]) == pytest.approx(6)
