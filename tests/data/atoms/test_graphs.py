import numpy as np
import pytest

from equinet.data.atoms import Configuration, neighbour_list, to_graph, to_graphs

ELEMENTS = ("H", "C", "O")


def line(*heights, number=1, **options):
    positions = np.array([[0.0, 0.0, height] for height in heights])
    return Configuration(numbers=np.full(len(heights), number), positions=positions, **options)


@pytest.mark.parametrize("cell", [None, 2.5])
def test_slots_hold_every_edge_once_and_name_its_opposite(make_configuration, cell):
    configuration = make_configuration(12, cell=cell)
    graph = to_graph(configuration, cutoff=3.0, elements=ELEMENTS)
    edges, slots = graph.neighbours, graph.slots
    nodes = np.nonzero(slots.mask)[0]
    assert len(nodes) == graph.num_edges > 0
    assert graph.degree == np.bincount(edges.receivers).max()
    np.testing.assert_array_equal(nodes, edges.receivers)
    np.testing.assert_array_equal(slots.senders[slots.mask], edges.senders)
    np.testing.assert_array_equal(slots.shifts[slots.mask], edges.shifts)
    senders, back = slots.senders, slots.columns
    rows = np.arange(12)[:, None]
    np.testing.assert_array_equal(senders[senders, back], np.broadcast_to(rows, senders.shape))
    np.testing.assert_array_equal(slots.shifts[senders, back], -slots.shifts)
    np.testing.assert_array_equal(slots.mask[senders, back], slots.mask)
    empty = np.nonzero(~slots.mask)
    np.testing.assert_array_equal(senders[empty], empty[0])
    np.testing.assert_array_equal(back[empty], empty[1])


def test_graph_carries_the_labels_of_its_configuration(make_configuration):
    configuration = make_configuration(4, cell=3.0)
    graph = to_graph(configuration, cutoff=3.0, elements=ELEMENTS)
    assert graph.energy == configuration.energy
    assert graph.forces is configuration.forces
    assert graph.stress is configuration.stress
    assert graph.source == configuration.source
    np.testing.assert_allclose(graph.centred.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(
        np.diff(graph.centred, axis=0), np.diff(configuration.positions, axis=0)
    )


def test_periodic_neighbours_are_those_of_the_list(make_configuration):
    configuration = make_configuration(3, cell=2.0)
    graph = to_graph(configuration, cutoff=2.5, elements=ELEMENTS)
    expected = neighbour_list(configuration.positions, 2.5, configuration.cell, configuration.pbc)
    np.testing.assert_array_equal(graph.neighbours.shifts, expected.shifts)
    assert np.abs(graph.neighbours.shifts).max() >= 1


def test_isolated_atoms_are_legal_unless_refused():
    graph = to_graph(line(0.0, 9.0), cutoff=3.0, elements=ELEMENTS)
    assert (graph.num_edges, graph.degree) == (0, 0)
    assert graph.slots.senders.shape == (2, 0)
    assert to_graph(line(0.0, 1.0, 9.0), cutoff=3.0, elements=ELEMENTS, allow_isolated=False)


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (
            line(0.0, 4.5, source="a configuration 2"),
            r"a configuration 2: no atom .* 3\.0 ang.* is 4\.50 ang",
        ),
        (line(0.0, source="a configuration 2"), "a configuration 2: .* isolated-atom reference"),
        (
            line(0.0, 1000.0, source="a configuration 2"),
            "a configuration 2: .* positions are in angstrom",
        ),
        (
            line(0.0, cell=5 * np.eye(3), pbc=(True,) * 3, source="a configuration 2"),
            r"is 5\.00 angstrom",
        ),
    ],
)
def test_training_configurations_without_edges_are_refused(configuration, message):
    with pytest.raises(ValueError, match=message):
        to_graphs([line(0.0, 1.0), configuration], cutoff=3.0, elements=ELEMENTS)


def test_unknown_elements_are_named():
    with pytest.raises(
        ValueError, match="configuration: has N, but the known elements are H, C, O"
    ):
        to_graph(line(0.0, 1.0, number=7), cutoff=3.0, elements=ELEMENTS)
