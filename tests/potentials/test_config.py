"""The config of the potential task: sections with their own keys, checked before any data."""

import sys
from pathlib import Path

import numpy as np
import pytest

from equinet.data.atoms import Configuration, write_configurations
from equinet.models import potential_class
from equinet.potentials import PotentialCalculator, PotentialTask, load_potential
from equinet.training import describe_config, evaluate, load_config, train

CONFIG = str(Path(__file__).parents[2] / "configs/potential.py")

MODEL = '''
import jax.numpy as jnp
from flax import nnx
from equinet.models import EnergyModel
from equinet.ops.graphs import edge_vectors, sum_receivers

class Springs(EnergyModel):
    """Springs between neighbours.

    Args:
        elements: Chemical symbols.
        cutoff: Radius of the neighbourhood in angstrom.
        stiffness: Where the stiffness starts.
        energy_scale: The scale in eV.
        reference_energies: Energies of the elements in eV.
        rngs: Not used.
    """

    def __init__(self, elements, *, cutoff: float = 3.0, stiffness: float = 1.0,
                 energy_scale: float = 1.0, reference_energies=None, rngs=None):
        super().__init__(locals(), rngs=rngs)
        self.stiffness = nnx.Param(jnp.full((), stiffness, jnp.float32))

    def __call__(self, graph):
        vectors = edge_vectors(graph, far=2 * self.cutoff)
        squares = jnp.sum(vectors**2, -1)
        bond = jnp.where(squares < self.cutoff**2, (squares - 1.0) ** 2, 0.0)
        stiffness = self.stiffness[...].astype(squares.dtype)
        energy = self.energy_scale * stiffness * sum_receivers(bond[:, None], graph)[:, 0]
        return jnp.where(graph.node_mask, energy, 0.0)
'''
CONFIG_OF_MODEL = """
def get_config():
    return {
        "task": "equinet.potentials.task:PotentialTask",
        "model": {"network": "springs_of_test:Springs", "stiffness": 0.5},
        "training": {"steps": 2, "batch_size": 2, "validate_every": 2},
    }
"""


@pytest.fixture(autouse=True)
def _same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("model.product", "nonsense"), r"model.product has no effect with model.network=ponita"),
        (("data.train", "x.xyz"), r"data.train has no effect with data.source=xtb"),
        (("model.network", "ponit"), r"config.model.network: got 'ponit': did you mean ponita"),
        (("model.orientation", "3"), r"unknown key .*: did you mean model.orientations"),
        (("data.configurations", "100"), r"data.configurations: expected a tuple of 3 integers"),
        (("model.network", "not_there_at_all:Model"), r"no module 'not_there_at_all'"),
        (("model.network", "equinet.models:EGNN"), r"expected a subclass of EnergyModel"),
    ],
)
def test_a_key_without_effect_is_an_error(override, message):
    with pytest.raises(ValueError, match=message):
        load_config(f"{CONFIG}:ponita", [override])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("model.product", "nonsense"),
        ("model.convolution", "nonsense"),
        ("model.radial_basis", "nonsense"),
        ("model.layers", "0"),
        ("model.hidden", "1o"),
    ],
)
def test_a_network_is_checked_before_the_data(key, text, monkeypatch):
    monkeypatch.setattr(
        "equinet.potentials.task.load_splits", lambda *_, **__: pytest.fail("data were read first")
    )
    with pytest.raises(ValueError, match=r"config.model: ") as caught:
        PotentialTask().build(load_config(CONFIG, [(key, text)]), shards=1)
    assert text.strip("0") in str(caught.value)


def test_the_sections_hold_what_the_networks_take():
    irreps, ponita = (
        {key.key for key in describe_config(load_config(f"{CONFIG}:{network}"))}
        for network in ("irreps", "ponita")
    )
    assert irreps - ponita >= {"model.lmax", "model.product"}
    assert ponita - irreps >= {"model.orientations", "model.basis"}
    measured = {"model.elements", "model.energy_scale", "model.average_neighbours", "model.dtype"}
    assert not measured & (irreps | ponita)


def test_a_model_of_the_user_is_trained(tmp_path):
    """A class beside the config, by its import path: trained, evaluated, read back."""
    rng = np.random.default_rng(0)
    base = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    molecules = [
        Configuration(
            numbers=np.array([8, 1, 1]),
            positions=base + 0.1 * rng.normal(size=(3, 3)),
            energy=-2080.0 + rng.normal(),
            forces=rng.normal(size=(3, 3)),
        )
        for _ in range(6)
    ]
    write_configurations(tmp_path / "water.xyz", molecules)
    (tmp_path / "springs_of_test.py").write_text(MODEL)
    (tmp_path / "config.py").write_text(CONFIG_OF_MODEL)
    file = str(tmp_path / "water.xyz")
    overrides = [("data.source", "files"), ("data.train", file)]
    overrides += [("data.validation", file), ("data.test", file), ("model.cutoff", "2.5")]
    source = str(tmp_path / "config.py")
    config = load_config(source, overrides)
    assert (config.model.stiffness, config.model.cutoff) == (0.5, 2.5)
    result = train(config, tmp_path / "run", source=source)
    assert result["equivariance_error"]["float64"] < 1e-12
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]
    model = load_potential(tmp_path / "run")
    assert type(model) is potential_class("springs_of_test:Springs")
    assert PotentialCalculator(model).model is model
    with pytest.raises(ValueError, match=r"unknown key config.model.stifness: did you mean"):
        load_config(source, [*overrides, ("model.stifness", "1.0")])
