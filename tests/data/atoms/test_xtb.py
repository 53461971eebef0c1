import dataclasses
import logging

import numpy as np
import pytest

from equinet.data.atoms import Configuration, sample_molecule, xtb

FAST = {"num_configurations": 5, "spacing_fs": 2.0, "equilibration_fs": 3.0, "num_trajectories": 2}


def same(first, second):
    for one, other in zip(first, second, strict=True):
        for field in dataclasses.fields(Configuration):
            expected, found = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(found, expected, err_msg=field.name)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def water(cache):
    return sample_molecule("O", **FAST, cache=cache, workers=2)


@pytest.fixture
def no_sampling(monkeypatch):
    def fail(*_):
        raise AssertionError("sampled although the cache holds the configurations")

    monkeypatch.setattr(xtb, "_sample", fail)


def test_configurations_are_labelled_molecules_in_order(water):
    assert len(water) == 5
    assert [
        configuration.source[-len("trajectory 0 configuration 0") :] for configuration in water
    ] == [
        f"trajectory {walker} configuration {index}"
        for walker, index in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    ]
    for configuration in water:
        assert configuration.numbers.tolist() == [8, 1, 1]
        assert configuration.cell is None
        assert -139 < configuration.energy < -137
        np.testing.assert_allclose(configuration.forces.sum(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(configuration.positions.mean(axis=0), 0, atol=1e-12)
    assert len({configuration.energy for configuration in water}) == 5


def test_the_number_of_processes_changes_nothing(water, tmp_path):
    seen = []
    again = sample_molecule(
        "O", **FAST, cache=tmp_path, workers=1, progress=lambda *counts: seen.append(counts)
    )
    same(water, again)
    assert seen == [(done, 5) for done in range(1, 6)]


def test_configurations_are_ordered_however_the_processes_finish(water, tmp_path, monkeypatch):
    run = xtb._run
    monkeypatch.setattr(xtb, "_run", lambda jobs: reversed(list(run(jobs))))
    same(water, sample_molecule("O", **FAST, cache=tmp_path))


def test_the_cache_gives_the_same_bits(water, cache, no_sampling):
    same(water, sample_molecule("O", **FAST, cache=cache))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"temperature_K": 501}, {"num_trajectories": 1}, {"molecule": "N"}]
)
def test_any_setting_changes_the_key(water, cache, change, no_sampling):
    with pytest.raises(AssertionError, match="sampled although"):
        sample_molecule(**{"molecule": "O", **FAST, "cache": cache, **change})


@pytest.mark.parametrize("damage", ["half", "digit", "note"])
def test_a_damaged_cache_is_replaced_with_a_note(
    water, cache, damage, tmp_path, monkeypatch, caplog
):
    (configurations,), (note,) = cache.glob("xtb/*.xyz"), cache.glob("xtb/*.json")
    text, kept = configurations.read_text(), note.read_text()
    if damage == "half":
        text = text[: len(text) // 2]
    elif damage == "digit":
        text = text.replace("7", "8", 1)
    else:
        kept = "{"
    (tmp_path / "xtb").mkdir()
    (tmp_path / "xtb" / configurations.name).write_text(text)
    (tmp_path / "xtb" / note.name).write_text(kept)
    monkeypatch.setattr(xtb, "_sample", lambda *_: water)
    with caplog.at_level(logging.WARNING):
        same(water, sample_molecule("O", **FAST, cache=tmp_path))
    assert "damaged" in caplog.text
    caplog.clear()
    same(water, sample_molecule("O", **FAST, cache=tmp_path))
    assert not caplog.text
    assert (tmp_path / "xtb" / configurations.name).read_bytes() == configurations.read_bytes()


def test_configurations_without_their_note_do_not_count(water, cache, tmp_path, monkeypatch):
    (configurations,) = cache.glob("xtb/*.xyz")
    (tmp_path / "xtb").mkdir()
    (tmp_path / "xtb" / configurations.name).write_bytes(configurations.read_bytes())
    calls = []
    monkeypatch.setattr(xtb, "_sample", lambda *_: calls.append(1) or water)
    sample_molecule("O", **FAST, cache=tmp_path)
    assert calls == [1]


def test_a_cache_that_cannot_be_written_is_noted(water, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setattr(xtb, "_sample", lambda *_: water)
    same(water, sample_molecule("O", **FAST, cache=tmp_path / "file"))
    assert "could not be kept" in caplog.text


def test_the_seed_decides(water, tmp_path):
    other = sample_molecule("O", **{**FAST, "num_configurations": 2}, seed=1, cache=tmp_path)
    assert all(configuration.energy not in {w.energy for w in water} for configuration in other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_configurations": 0}, "got num_configurations=0, expected a number above 0"),
        ({"temperature_K": -1}, "got temperature_K=-1"),
        ({"timestep_fs": float("nan")}, "got timestep_fs=nan"),
        ({"equilibration_fs": -1}, "got equilibration_fs=-1"),
        ({"num_trajectories": 0}, "got num_trajectories=0"),
        ({"seed": -1}, "got seed=-1"),
        ({"method": "PBE"}, "got method='PBE', expected one of GFN2-xTB"),
        ({"molecule": "C(("}, r"got the molecule 'C\(\(', expected a SMILES"),
    ],
)
def test_bad_settings(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sample_molecule(**{"molecule": "O", **FAST, "cache": tmp_path, **options})
    assert not list(tmp_path.iterdir())


def test_a_process_that_dies_is_reported(tmp_path, monkeypatch):
    script = tmp_path / "broken.py"
    script.write_text("import sys; sys.exit('out of luck')")
    monkeypatch.setattr(xtb, "_WORKER", script)
    with pytest.raises(RuntimeError, match="ended with 1: out of luck"):
        sample_molecule("O", **FAST, cache=tmp_path, workers=2)
