import dataclasses

import numpy as np
import pytest

from equinet.data.atoms import (
    fit_references,
    isolated_atom_energies,
    measure,
    read_data_set,
    subtract_references,
    symbols_of,
    to_graphs,
)

ELEMENTS = ("H", "C", "O")
ENERGIES = np.array([-13.5, -1029.5, -2041.0])


@pytest.fixture
def graphs(make_configuration):
    configurations = [make_configuration(6 + seed, seed) for seed in range(5)]
    return to_graphs(configurations, cutoff=5.0, elements=ELEMENTS)


def with_energies(graphs, offset=0.0):
    return [
        dataclasses.replace(
            graph, energy=float(ENERGIES[graph.species].sum() + offset * graph.num_nodes)
        )
        for graph in graphs
    ]


def test_least_squares_recovers_the_energies_of_the_elements(graphs):
    np.testing.assert_allclose(fit_references(with_energies(graphs), 3), ENERGIES, rtol=1e-10)
    found = measure(with_energies(graphs), ELEMENTS)
    assert found.elements == ELEMENTS
    assert abs(found.energy_per_atom) < 1e-9
    assert found.energy_rms_per_atom < 1e-9


def test_one_molecule_gets_the_least_norm(make_configuration):
    configuration = make_configuration(9)
    graphs = to_graphs([configuration] * 4, cutoff=5.0, elements=ELEMENTS)
    energies = [-100.0, -102.0, -101.0, -101.0]
    graphs = [dataclasses.replace(g, energy=e) for g, e in zip(graphs, energies, strict=True)]
    references = fit_references(graphs, 3)
    counts = np.bincount(graphs[0].species, minlength=3)
    np.testing.assert_allclose(counts @ references, -101.0)
    np.testing.assert_allclose(np.cross(references, counts), 0, atol=1e-9)
    found = measure(graphs, ELEMENTS)
    np.testing.assert_allclose(found.energy_per_atom, 0, atol=1e-12)
    np.testing.assert_allclose(found.energy_rms_per_atom, np.std(energies) / 9)


def test_given_references_leave_the_binding_energy(graphs):
    given = {"O": -2041.0, "H": -13.5, "C": -1029.5, "N": 5.0}
    found = measure(with_energies(graphs, offset=-4.0), ELEMENTS, given)
    assert found.reference_energies == (-13.5, -1029.5, -2041.0)
    np.testing.assert_allclose(found.energy_per_atom, -4.0)
    np.testing.assert_allclose(found.energy_rms_per_atom, 0, atol=1e-12)


def test_forces_and_neighbours(graphs):
    found = measure(graphs, ELEMENTS)
    components = np.concatenate([graph.forces.ravel() for graph in graphs])
    np.testing.assert_allclose(found.force_rms, np.sqrt((components**2).mean()))
    edges, atoms = sum(g.num_edges for g in graphs), sum(g.num_nodes for g in graphs)
    np.testing.assert_allclose(found.average_neighbours, edges / atoms)
    bare = [dataclasses.replace(graph, forces=None) for graph in graphs]
    assert measure(bare, ELEMENTS).force_rms is None


def test_references_are_subtracted_in_float64(graphs):
    labelled = with_energies(graphs, offset=1e-6)
    left = subtract_references(labelled, ENERGIES.tolist())
    for graph in left:
        np.testing.assert_allclose(graph.energy, 1e-6 * graph.num_nodes, atol=1e-10)
    nothing = dataclasses.replace(graphs[0], energy=None)
    assert subtract_references([nothing], ENERGIES.tolist())[0].energy is None


def test_missing_numbers_are_named(graphs):
    with pytest.raises(ValueError, match="no graphs"):
        measure([], ELEMENTS)
    bare = [*graphs, dataclasses.replace(graphs[0], energy=None, source="a configuration 9")]
    with pytest.raises(ValueError, match="a configuration 9: has no energy"):
        measure(bare, ELEMENTS)
    with pytest.raises(ValueError, match="for H, but not for C, O; add them"):
        measure(graphs, ELEMENTS, {"H": -13.0})


def test_isolated_atoms_are_read(tmp_path):
    path = tmp_path / "atoms.xyz"
    path.write_text("1\nenergy=-13.6\nH 0 0 0\n1\nenergy=-2041.5\nO 0 0 0\n")
    assert isolated_atom_energies(path) == {"H": -13.6, "O": -2041.5}
    path.write_text("1\nenergy=-13.6\nH 0 0 0\n" * 2)
    with pytest.raises(ValueError, match="configuration 1: is H once more"):
        isolated_atom_energies(path)
    path.write_text("2\nenergy=-13.6\nH 0 0 0\nH 0 0 1\n")
    with pytest.raises(ValueError, match="configuration 0: has 2 atoms"):
        isolated_atom_energies(path)


def test_isolated_atoms_of_3bpa(data_dir):
    configurations = read_data_set("3bpa", "train_300K", data_dir)[:5]
    elements = symbols_of(
        np.concatenate([configuration.numbers for configuration in configurations])
    )
    graphs = to_graphs(configurations, cutoff=5.0, elements=elements)
    found = measure(graphs, elements, isolated_atom_energies(data_dir / "3bpa" / "iso_atoms.xyz"))
    assert -6 < found.energy_per_atom < -4
