import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from equinet.data.atoms import complete_cell, neighbour_list


def brute_force(positions, cutoff, cell, pbc):
    """All edges, by trying every image that could be in reach."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    spread = np.ptp(positions @ np.linalg.inv(cell), axis=0)
    reach = np.where(pbc, np.ceil(cutoff / heights + spread), 0).astype(int)
    found = set()
    for shift in itertools.product(*(range(-n, n + 1) for n in reach)):
        vectors = positions[None] + np.array(shift) @ cell - positions[:, None]
        for i, j in np.argwhere(np.linalg.norm(vectors, axis=-1) < cutoff).tolist():
            if i != j or any(shift):
                found.add((j, i, *shift))
    return found


def edges_of(neighbours):
    table = np.column_stack([neighbours.senders, neighbours.receivers, neighbours.shifts])
    return list(map(tuple, table.tolist()))


def check_reverse(neighbours):
    back = neighbours.reverse
    np.testing.assert_array_equal(back[back], np.arange(len(back)))
    np.testing.assert_array_equal(neighbours.senders[back], neighbours.receivers)
    np.testing.assert_array_equal(neighbours.receivers[back], neighbours.senders)
    np.testing.assert_array_equal(neighbours.shifts[back], -neighbours.shifts)


@hypothesis.given(
    seed=st.integers(0, 10**6),
    atoms=st.integers(1, 6),
    size=st.floats(1.0, 6.0),
    cutoff=st.floats(0.5, 4.0),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@hypothesis.settings(max_examples=60)
def test_agrees_with_brute_force_on_skewed_cells(seed, atoms, size, cutoff, pbc):
    rng = np.random.default_rng(seed)
    cell = size * (np.eye(3) + 0.35 * rng.uniform(-1, 1, (3, 3)))
    positions = rng.uniform(-1.5, 2.5, (atoms, 3)) @ cell
    found = neighbour_list(positions, cutoff, cell, pbc)
    edges = edges_of(found)
    assert len(set(edges)) == len(edges)
    assert set(edges) == brute_force(positions, cutoff, cell, pbc)
    assert np.all(found.distances(positions, cell) < cutoff)
    check_reverse(found)


def test_one_atom_in_a_tiny_cell_sees_its_images():
    found = neighbour_list(np.full((1, 3), 7.3), 1.5, np.eye(3), (True, True, True))
    assert found.num_edges == 18
    assert set(edges_of(found)) == brute_force(np.zeros((1, 3)), 1.5, np.eye(3), (True,) * 3)
    check_reverse(found)


def test_molecules_far_from_the_origin():
    rng = np.random.default_rng(3)
    positions = rng.uniform(0, 5, (20, 3))
    near, far = neighbour_list(positions, 2.5), neighbour_list(positions + 1000.0, 2.5)
    assert edges_of(near) == edges_of(far)
    assert near.num_edges > 0
    assert not near.shifts.any()


def test_edges_are_sorted_by_receiver_then_sender():
    rng = np.random.default_rng(1)
    found = neighbour_list(rng.uniform(0, 4, (30, 3)), 3.0, 4 * np.eye(3), (True, False, True))
    order = np.lexsort([found.senders, found.receivers])
    np.testing.assert_array_equal(order, np.arange(found.num_edges))
    assert found.senders.dtype == found.reverse.dtype == found.shifts.dtype == np.int32


def test_no_atoms_and_no_neighbours():
    assert neighbour_list(np.zeros((0, 3)), 1.0).num_edges == 0
    lonely = neighbour_list(np.array([[0.0, 0, 0], [0, 0, 3]]), 1.0)
    assert lonely.num_edges == 0
    assert lonely.reverse.shape == (0,)
    assert lonely.shifts.shape == (0, 3)


def test_a_slab_needs_no_third_vector():
    cell = np.array([[3.0, 0.5, 0], [0, 3, 0], [0, 0, 0]])
    positions = np.array([[0.0, 0, 0], [1, 1, 2]])
    found = neighbour_list(positions, 3.5, cell, (True, True, False))
    full = np.array([[3.0, 0.5, 0], [0, 3, 0], [0, 0, 1]])
    assert set(edges_of(found)) == brute_force(positions, 3.5, full, (True, True, False))


@pytest.mark.parametrize("rows", [(0,), (1,), (2,), (0, 2)])
def test_completed_cells_have_unit_normals(rows):
    cell = np.random.default_rng(0).normal(size=(3, 3))
    cell[list(rows)] = 0
    full = complete_cell(cell, tuple(row not in rows for row in range(3)))
    np.testing.assert_allclose(np.linalg.norm(full[list(rows)], axis=1), 1)
    kept = [row for row in range(3) if row not in rows]
    np.testing.assert_allclose(full[kept] @ full[list(rows)].T, 0, atol=1e-12)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_bad_cutoffs(cutoff):
    with pytest.raises(ValueError, match="expected a positive number"):
        neighbour_list(np.zeros((1, 3)), cutoff)


def test_bad_geometry():
    with pytest.raises(ValueError, match="NaN or infinite"):
        neighbour_list(np.array([[0.0, np.nan, 0]]), 1.0)
    with pytest.raises(ValueError, match="without a cell"):
        neighbour_list(np.zeros((1, 3)), 1.0, None, (True, False, False))
    with pytest.raises(ValueError, match="independent vectors"):
        neighbour_list(np.zeros((1, 3)), 1.0, np.diag([1.0, 1, 0]), (True, True, True))
