import ase.data
import numpy as np
import pytest

from equinet.data.atoms import SYMBOLS, atomic_number, species_index, symbols_of
from equinet.data.atoms.elements import _species_table


def test_symbols_are_the_periodic_table():
    assert tuple(ase.data.chemical_symbols[: len(SYMBOLS)]) == SYMBOLS
    assert len(SYMBOLS) == 119


@pytest.mark.parametrize("element", ["X", "Q", "", 0, 119, -1])
def test_atomic_number_refuses_what_is_no_element(element):
    with pytest.raises(ValueError, match="expected an element"):
        atomic_number(element)


def test_species_index_follows_the_order_of_the_model():
    numbers = np.array([1, 8, 6, 1])
    assert species_index(numbers, ("O", "H", "C"), source="a").tolist() == [1, 0, 2, 1]
    assert species_index(numbers, (8, 1, 6), source="a").tolist() == [1, 0, 2, 1]


def test_species_index_names_the_unknown_element_the_configuration_and_the_known_ones():
    with pytest.raises(ValueError, match=r"a\.xyz configuration 3: has N, Br, but .* are H, C"):
        species_index(np.array([1, 7, 35]), ("H", "C"), source="a.xyz configuration 3")


def test_species_table_refuses_an_element_twice_and_is_read_only():
    with pytest.raises(ValueError, match="each element once"):
        _species_table(("H", 1))
    with pytest.raises(ValueError, match="read-only"):
        _species_table(("H",))[1] = 5


def test_symbols_of_sorts_and_removes_duplicates():
    assert symbols_of(np.array([17, 1, 6, 6])) == ("H", "C", "Cl")
