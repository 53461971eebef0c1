import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equinet.data.atoms._extxyz import read_records

WATER = """2
Lattice="4 0 0 0 5 0 1 0 6" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="T T F"
O 0.10000000 0.20000000 0.30000000 1.00000000 2.00000000 3.00000000
H 0.90000000 0.20000000 0.30000000 -1.00000000 -2.00000000 -3.12345678
"""


def records(path, text):
    path.write_text(text)
    return list(read_records(path))


def test_reads_columns_lattice_and_labels(tmp_path):
    (record,) = records(tmp_path / "a.xyz", WATER)
    assert record.numbers.tolist() == [8, 1]
    assert record.positions[1].tolist() == [0.9, 0.2, 0.3]
    assert record.cell.tolist() == [[4, 0, 0], [0, 5, 0], [1, 0, 6]]
    assert record.pbc == (True, True, False)
    assert record.labels["energy"] == -1.5
    assert record.labels["forces"][1].tolist() == [-1, -2, -3.12345678]


@pytest.mark.parametrize(
    ("comment", "pbc"),
    [
        ("", (False, False, False)),
        ('Lattice="1 0 0 0 1 0 0 0 1"', (True, True, True)),
        ('Lattice="1 0 0 0 1 0 0 0 1" pbc="F F F"', (False, False, False)),
        ('Lattice="1 0 0 0 1 0 0 0 1" pbc=[True, False, 1]', (True, False, True)),
    ],
)
def test_periodicity_defaults_to_the_presence_of_a_lattice(tmp_path, comment, pbc):
    (record,) = records(tmp_path / "a.xyz", f"1\n{comment}\nH 0 0 0\n")
    assert record.pbc == pbc


def test_values_may_be_quoted_in_every_way(tmp_path):
    comment = """a="x y" b='1 2' "c d"=3 e={4 5} f=[6, 7] g="_JSON [8.5, 9]" h=text bare i=T"""
    (record,) = records(tmp_path / "a.xyz", f"1\n{comment}\nH 0 0 0\n")
    labels = record.labels
    assert (labels["a"], labels["c d"], labels["h"], labels["i"]) == ("x y", 3.0, "text", "T")
    assert [labels[key].tolist() for key in "befg"] == [[1, 2], [4, 5], [6, 7], [8.5, 9]]


@pytest.mark.parametrize("extra", [{}, {"note": "a b", "pair": np.array([1.0, 2.0]), "n": 7}])
def test_agrees_with_ase_on_what_ase_writes(tmp_path, extra):
    rng = np.random.default_rng(0)
    images = []
    for size in (1, 2, 5):
        atoms = ase.Atoms(
            ["Si"] * size,
            positions=rng.normal(size=(size, 3)),
            cell=rng.normal(size=(3, 3)),
            pbc=[True, False, True],
            info=extra,
        )
        results = {"energy": rng.normal(), "stress": rng.normal(size=6)}
        atoms.calc = SinglePointCalculator(atoms, forces=rng.normal(size=(size, 3)), **results)
        atoms.new_array("charge_guess", rng.normal(size=size))
        images.append(atoms)
    path = tmp_path / "a.extxyz"
    ase.io.write(path, images)
    theirs = ase.io.read(path, index=":")
    ours = list(read_records(path))
    assert len(ours) == len(theirs) == 3
    for record, atoms in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(record.positions, atoms.positions)
        np.testing.assert_array_equal(record.cell, atoms.cell[:])
        np.testing.assert_array_equal(record.labels["forces"], atoms.get_forces())
        np.testing.assert_array_equal(record.labels["charge_guess"], atoms.arrays["charge_guess"])
        assert record.pbc == tuple(atoms.pbc)
        assert record.labels["energy"] == atoms.get_potential_energy()
        stress = record.labels["stress"].reshape(3, 3)
        np.testing.assert_array_equal(stress, atoms.get_stress(voigt=False))


def test_every_cut_inside_of_the_last_configuration_is_found(tmp_path):
    text = WATER * 2
    whole = len(text) - len("\n")
    for stop in range(len(WATER) + 1, whole):
        with pytest.raises(ValueError, match=r"a\.xyz configuration 1"):
            records(tmp_path / "a.xyz", text[:stop])
    assert len(records(tmp_path / "a.xyz", text[:whole])) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n\n", r"configuration 0 \(line 1\): has 0 atoms"),
        (WATER + "\n" + WATER, r"configuration 1 \(line 5\): got ''"),
        (WATER.replace("2\n", "1\n", 1), r"configuration 1 \(line 4\): got 'H 0.9"),
        (WATER.replace("2\n", "3\n", 1), "configuration 0 .* announces 3 atoms, but .* after 2"),
        (
            WATER.replace("2\n", "3\n", 1) + WATER,
            "configuration 0 .* atom 2 has 1 columns, expected 7",
        ),
        (WATER.replace("O 0.1", "O zero"), "configuration 0 .* pos: could not convert"),
        (WATER.replace("O ", "Xx "), "configuration 0 .* got 'Xx', expected an element"),
        (WATER.replace("4 0 0 ", "4 0 "), "configuration 0 .* expected nine numbers"),
        (WATER.replace("T T F", "T T"), "configuration 0 .* three flags"),
        (WATER.replace("pos:R:3", "pos:R"), "configuration 0 .* name:type:columns"),
        (WATER.replace("pos:R", "xyz:R"), "configuration 0 .* expected the column pos:R:3"),
        (WATER.replace("species:S", "name:S"), "configuration 0 .* expected the column species"),
    ],
)
def test_malformed_files_name_file_configuration_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=r"a\.xyz " + message):
        records(tmp_path / "a.xyz", text)


def test_binary_files_are_refused(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.xyz: expected a text file"):
        list(read_records(tmp_path / "a.xyz"))


def test_windows_line_ends_and_blank_lines_at_the_end_are_read(tmp_path):
    assert len(records(tmp_path / "a.xyz", WATER.replace("\n", "\r\n") + "\n \n")) == 1
