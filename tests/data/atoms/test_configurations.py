import dataclasses

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equinet.data.atoms import (
    Configuration,
    from_atoms,
    read_configurations,
    read_data_set,
    write_configurations,
)

HEADER = "Properties=species:S:1:pos:R:3:forces:R:3"
WATER = f"""3
{HEADER} energy=-14.2
O 0.0 0.0 0.0 0.1 0.2 0.3
H 0.0 0.0 1.0 0.0 0.0 0.0
H 0.0 1.0 0.0 0.0 0.0 0.0
"""


def read(tmp_path, text, **options):
    path = tmp_path / "a.xyz"
    path.write_text(text)
    return read_configurations(path, **options)


def test_reads_molecules_in_order(tmp_path):
    first, second = read(tmp_path, WATER + WATER.replace("-14.2", "-14.1"))
    assert (first.energy, second.energy) == (-14.2, -14.1)
    assert first.forces is not None
    assert first.forces[0].tolist() == [0.1, 0.2, 0.3]
    assert first.cell is None
    assert first.pbc == (False, False, False)
    assert second.source == f"{tmp_path / 'a.xyz'} configuration 1"


def test_writing_loses_no_bit(tmp_path, make_configuration):
    configurations = [
        make_configuration(1),
        make_configuration(7),
        make_configuration(5, cell=4.0),
        make_configuration(3, labelled=False),
    ]
    write_configurations(tmp_path / "a.xyz", configurations)
    again = read_configurations(tmp_path / "a.xyz", require=())
    for before, after in zip(configurations, again, strict=True):
        for field in dataclasses.fields(Configuration):
            if field.name != "source":
                old, new = getattr(before, field.name), getattr(after, field.name)
                np.testing.assert_array_equal(new, old, err_msg=field.name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("energy=-14.2", ""),
            r"configuration 1: has no energy under the key 'energy'; its keys: 'forces'",
        ),
        (
            (":forces:R:3", ":f:R:3"),
            r"configuration 1: has no forces .* its keys: 'energy', 'f'",
        ),
        (
            ("energy=-14.2", "energy=low"),
            "configuration 1: the label 'energy' is 'low', expected numbers",
        ),
        (
            ("energy=-14.2", 'energy="1 2"'),
            "configuration 1: the label 'energy' .* expected one number",
        ),
        (("energy=-14.2", "energy=nan"), "configuration 1: the energy is nan"),
        (
            ("H 0.0 0.0 1.0", "H 0.0 0.0 inf"),
            r"configuration 1: positions of atom 1 \(H\) is NaN or inf",
        ),
        (("0.1 0.2 0.3", "0.1 NaN 0.3"), r"configuration 1: forces of atom 0 \(O\) is NaN"),
        (
            ("H 0.0 1.0 0.0", "H 0.0 0.0 1.0004"),
            r"configuration 1: atom 1 .* and atom 2 .* at one",
        ),
        (("energy", "stress='1 2 3' energy"), r"configuration 1: got stress of shape \(3,\)"),
    ],
)
def test_a_bad_configuration_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=r"a\.xyz " + message):
        read(tmp_path, WATER + WATER.replace(*change))


def test_atoms_at_one_place_are_found_across_the_cell(tmp_path):
    lattice = 'Lattice="3 0 0 0 3 0 0 0 3"'
    text = f"2\n{lattice} {HEADER} energy=0\nH 0 0 0.0002 0 0 0\nH 0 0 2.9998 0 0 0\n"
    with pytest.raises(
        ValueError, match=r"configuration 0: atom 0 \(H\) and atom 1 \(H\) are at one"
    ):
        read(tmp_path, text)
    read(tmp_path, text, molecule=True)


def test_atoms_at_one_place_are_found_in_large_molecules(make_configuration, tmp_path):
    configuration = make_configuration(200)
    positions = configuration.positions.copy()
    positions[150] = positions[20] + 1e-5
    write_configurations(
        tmp_path / "a.xyz", [dataclasses.replace(configuration, positions=positions)]
    )
    with pytest.raises(ValueError, match=r"atom 20 .* and atom 150 .* are at one position"):
        read_configurations(tmp_path / "a.xyz")


def test_keys_can_be_named_and_labels_left_out(tmp_path):
    text = WATER.replace("energy", "Energy").replace(":forces", ":dft_forces")
    (configuration,) = read(tmp_path, text, energy_key="Energy", forces_key="dft_forces")
    assert configuration.energy == -14.2
    (configuration,) = read(tmp_path, text, require=())
    assert configuration.energy is None
    assert configuration.forces is None


@pytest.mark.parametrize(
    ("lattice", "periodic"),
    [
        ('Lattice="50 0 0 0 50 0 0 0 50"', True),
        ('Lattice="50 0 0 0 50 0 0 0 50" pbc="F F F"', False),
        ('Lattice="0 0 0 0 0 0 0 0 0" pbc="T T T"', False),
        ('pbc="T T T"', False),
        ("", False),
    ],
)
def test_cells_of_molecules(tmp_path, lattice, periodic):
    text = WATER.replace("energy", f"{lattice} energy")
    (configuration,) = read(tmp_path, text)
    assert any(configuration.pbc) == periodic
    assert (configuration.cell is not None) == periodic
    (configuration,) = read(tmp_path, text, molecule=True)
    assert configuration.cell is None
    assert not any(configuration.pbc)


def test_a_flat_periodic_cell_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"configuration 0: got the cell .* three independent vectors"
    ):
        read(tmp_path, WATER.replace("energy", 'Lattice="5 0 0 5 0 0 0 0 5" energy'))


def test_voigt_stress_is_unfolded(tmp_path):
    (configuration,) = read(tmp_path, WATER.replace("energy", 'stress="1 2 3 4 5 6" energy'))
    assert configuration.stress is not None
    assert configuration.stress.tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]


def test_empty_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match=r"a\.xyz: holds no configuration"):
        read(tmp_path, "\n")
    with pytest.raises(FileNotFoundError, match=r"b\.xyz: no such file"):
        read_configurations(tmp_path / "b.xyz")
    with pytest.raises(FileNotFoundError, match="BOTNet-datasets"):
        read_configurations(tmp_path / "3bpa" / "test_600K.xyz")
    (tmp_path / "c.xyz").mkdir()
    with pytest.raises(ValueError, match="expected a text file"):
        read_configurations(tmp_path / "c.xyz")
    with pytest.raises(ValueError, match="expected among energy, forces, stress"):
        read(tmp_path, WATER, require=("charges",))


def test_other_formats_go_through_ase(tmp_path):
    atoms = ase.Atoms("OH", [[0, 0, 0], [0, 0, 1]], cell=[5, 6, 7], pbc=True)
    atoms.calc = SinglePointCalculator(
        atoms, energy=-3.0, forces=np.ones((2, 3)), stress=np.arange(6.0)
    )
    ase.io.write(tmp_path / "a.traj", [atoms, atoms])
    configurations = read_configurations(tmp_path / "a.traj")
    assert len(configurations) == 2
    assert configurations[1].energy == -3.0
    assert configurations[1].stress is not None
    assert configurations[1].stress[1, 2] == 3.0
    assert configurations[1].cell is not None
    assert configurations[1].cell.tolist() == np.diag([5.0, 6, 7]).tolist()
    (tmp_path / "b.json").write_text("[1, 2")
    with pytest.raises(ValueError, match=r"b\.json: ASE cannot read it"):
        read_configurations(tmp_path / "b.json")


def test_from_atoms_computes_nothing():
    atoms = ase.Atoms("OH2", [[0, 0, 0], [0, 0, 1], [0, 1, 0]], cell=[5, 5, 0], pbc=[1, 1, 0])
    configuration = from_atoms(atoms)
    assert configuration.energy is None
    assert configuration.pbc == (True, True, False)
    assert from_atoms(atoms, molecule=True).cell is None
    atoms.calc = SinglePointCalculator(atoms, energy=2.0)
    assert from_atoms(atoms).energy == 2.0
    with pytest.raises(ValueError, match="H2O: has no forces"):
        from_atoms(atoms, require=("forces",))


def test_configurations_check_their_shapes():
    with pytest.raises(ValueError, match="has no atoms"):
        Configuration(numbers=np.zeros(0, int), positions=np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"got forces of shape \(2, 3\), expected \(1, 3\)"):
        Configuration(numbers=np.ones(1, int), positions=np.zeros((1, 3)), forces=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="atomic number"):
        Configuration(numbers=np.zeros(1, int), positions=np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("name", "file", "configurations", "atoms", "energy"),
    [
        ("3bpa", "train_300K", 500, 27, -17660.461737861464),
        ("acac", "test_MD_300K", 650, 15, -9391.254099941396),
        ("rmd17", "ethanol/train_01", 1000, 9, -4209.783455217897),
    ],
)
def test_public_data_sets(data_dir, name, file, configurations, atoms, energy):
    found = read_data_set(name, file, data_dir)
    assert len(found) == configurations
    assert {configuration.num_atoms for configuration in found} == {atoms}
    assert found[0].energy == energy
    assert all(configuration.cell is None for configuration in found)
