"""The command: exit codes, one line an error, one JSON object as the last line of stdout."""

import json
import math
import re
import shlex
import sys
from pathlib import Path

import pytest

import equinet
from equinet.cli import COMMANDS, main
from equinet.data.extras import require
from equinet.training import load_config

TOY = str(Path(__file__).parent / "training" / "toy_project" / "toy_config.py")


@pytest.fixture
def equinet_command(capsys):
    """Runs the command: exit code, lines of stdout, lines of stderr."""

    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("trian",), "invalid choice: 'trian'"),
        (("train",), "the following arguments are required: --config, --workdir"),
        (("train", "--config=x.py", "--workdir=w", "--stpes=3"), "unrecognized arguments: --stpes"),
        (
            ("train", "--config=no_such.py", "--workdir=w"),
            "'no_such.py' is neither a preset nor",
        ),
        (
            ("train", "--config=x.yaml", "--workdir=w"),
            "'x.yaml' is neither a preset nor",
        ),
        (
            ("train", f"--config={TOY}", "--workdir=w", "--config.size"),
            "--config.size needs a value",
        ),
        (
            ("train", f"--config={TOY}", "--workdir=w", "--config.sise=3"),
            "unknown key config.sise: did you mean size?",
        ),
        (
            ("train", f"--config={TOY}", "--workdir=w", "--config.size=many"),
            "config.size: expected an integer, got 'many'",
        ),
        (("train", f"--config={TOY}:many", "--workdir=w"), "invalid literal for int()"),
        (("evaluate", "--workdir=nowhere"), "no config.json in nowhere"),
        (("evaluate", "--workdir=w", "--config.size=3"), "evaluate takes no --config.size"),
        (("md", "--workdir=w", "--steps=many"), "argument --steps: invalid int value: 'many'"),
        (("md", "--workdir=w", "--ensemble=npt"), "invalid choice: 'npt'"),
        (("cayley",), "cayley takes either --family or --generators"),
        (("cayley", "--family=lrz", "--n=5"), "no family 'lrz': did you mean lrx or lx?"),
        (("cayley", "--family=lrx", "--n=2"), "family lrx: got n=2, expected n >= 3"),
        (("cayley", "--family=lrx", "--n=30"), "take a smaller n"),
        (("cayley", "--family=lrx", "--n=5", "--method=closed"), "lrx has no closed form"),
        (("cayley", "--generators=[[1,2"), "--generators: got '[[1,2', expected JSON"),
        (("cayley", "--generators=[[1,2]]"), "expected a permutation of 0..1"),
        (("cayley", "--generators=[1,2]"), "--generators: got [1, 2], expected lists of integers"),
        (("cayley", "--generators=[[1,0]]", "--method=closed"), "takes a --family"),
        (("list", "--folder=nowhere"), "no folder nowhere"),
        (("train", "--config=potentail", "--workdir=w"), "did you mean potential? presets: "),
        (("train", "--config=potential", "--workdir="), "--workdir: expected the name of a folder"),
        (("train", "--config=potential:egnn", "--workdir=w"), "one of irreps, ponita, got 'egnn'"),
        (
            ("train", "--config=potential", "--workdir=w", "--steps=3"),
            "keys of the config are set by --config.KEY=VALUE, here --config.training.steps=VALUE",
        ),
        (
            ("train", "--config=potential", "--workdir=w", "--lr=3"),
            "here --config.training.learning_rate=VALUE",
        ),
        (
            ("config", "--config=potential", "--config.training.lr=1"),
            "mean training.learning_rate?",
        ),
        (("config", "--config=potential", "--config.batch=1"), "did you mean training.batch_size?"),
        (
            ("config", "--config=potential", "--config.training.optimizer=adamW"),
            "got 'adamW': did you mean adamw?",
        ),
        (("md", "--workdir=w", "--trajectory=x.foo"), "--trajectory: expected a file that ends in"),
        (("md", "--workdir=w"), "no config.json in w: expected the --workdir of a training"),
        (("plot", "--workdir=w"), "no config.json in w: expected the --workdir of a training"),
    ],
)
def test_errors_are_one_line_and_code_2(equinet_command, words, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = equinet_command(*words)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("equinet: error: ")
    assert line in err[0]
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback():
    with pytest.raises(FileNotFoundError, match="neither a preset nor an existing Python file"):
        main(["train", "--config=no_such.py", "--workdir=w", "--debug"])


def test_train_again_and_evaluate(equinet_command, tmp_path):
    words = ("train", f"--config={TOY}:30", f"--workdir={tmp_path}")
    few = ("--config.training.steps=3", "--config.training.learning_rate", "1e-2")
    code, out, err = equinet_command(*words, *few, "--progress")
    assert code == 0
    assert len(out) == 1
    result = json.loads(out[0])
    assert (result["steps"], result["config"], result["workdir"]) == (3, f"{TOY}:30", str(tmp_path))
    assert any("mse" in line for line in err)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["size"], config["training"]["learning_rate"]) == (30, 0.01)

    assert equinet_command(*words, *few)[:2] == (0, out)
    code, _, err = equinet_command(*words, few[0])
    assert code == 2
    assert "config.training.learning_rate is 0.01 there and 0.1 here" in err[-1]

    code, out, _ = equinet_command("evaluate", f"--workdir={tmp_path}")
    report = json.loads(out[-1])
    assert code == 0
    assert report["metrics"] == pytest.approx(result["metrics"], rel=1e-6)
    code, _, err = equinet_command("evaluate", f"--workdir={tmp_path}", "--data=none.xyz")
    assert (code, err[-1]) == (2, "equinet: error: no data file none.xyz")


def test_a_stopped_run_says_so(equinet_command, tmp_path, monkeypatch):
    words = ("train", f"--config={TOY}", f"--workdir={tmp_path}")
    code, out, err = equinet_command(*words, "--config.training.max_minutes=1e-6")
    assert err[-1] == "equinet: stopped; the same command goes on from here"
    assert (code, json.loads(out[-1])["reason"]) == (0, "max_minutes")
    import equinet.training.loop as loop

    monkeypatch.setattr(loop, "_run_steps", lambda run, deadline: "SIGTERM")
    assert equinet_command(*words)[0] == 143


def test_md_hands_its_flags_on(equinet_command, monkeypatch):
    given = {}

    def run_md(**flags):
        print("what a library prints is not the result")
        given.update(flags)
        return {"command": "md", "energy_drift_mev_per_atom_per_ps": float("nan")}

    monkeypatch.setattr("equinet.potentials.run_md", run_md)
    code, out, err = equinet_command(
        "md", "--workdir=w", "--ensemble=nvt", "--temperature=10", "--steps=5", "--dtype=float64"
    )
    assert code == 0
    assert json.loads(out[0]) == {"command": "md", "energy_drift_mev_per_atom_per_ps": None}
    assert err == ["what a library prints is not the result"]
    assert given == {
        "workdir": "w",
        "ensemble": "nvt",
        "temperature": 10.0,
        "timestep_fs": 0.5,
        "steps": 5,
        "friction_per_fs": 0.01,
        "seed": 0,
        "data": None,
        "trajectory": None,
        "log_every": 100,
        "dtype": "float64",
    }


def test_cayley_prints_the_layers(equinet_command):
    code, out, err = equinet_command("cayley", "--family=lrx", "--n=5")
    assert (code, len(out)) == (0, 1)
    result = json.loads(out[0])
    assert result.pop("seconds") > 0
    assert result.pop("peak_memory_mb") > 0
    assert result.pop("device")
    layers = [1, 3, 6, 10, 16, 24, 29, 21, 6, 3, 1]
    head = {"command": "cayley", "family": "lrx", "n": 5, "order": 120, "diameter": 10}
    assert result == {**head, "layers": layers}
    assert err[0].split() == ["distance", "elements"]
    assert [line.split() for line in err[1:]] == [[str(d), str(k)] for d, k in enumerate(layers)]


def test_cayley_by_other_ways(equinet_command):
    code, out, _ = equinet_command("cayley", "--family=coxeter", "--n=30", "--method=closed")
    result = json.loads(out[0])
    assert (code, result["diameter"], result["order"]) == (0, 435, math.factorial(30))
    code, out, _ = equinet_command("cayley", "--generators=[[1,2,0],[1,0,2]]", "--max_layers=2")
    result = json.loads(out[0])
    assert (code, result["family"], result["diameter"]) == (0, None, None)
    assert (result["layers"], result["order"]) == ([1, 2], 3)


def test_list_reads_the_docstrings_and_runs_nothing(equinet_command, tmp_path, monkeypatch):
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "a.py").write_text('"""First line.\n\nMore."""\n1 / 0\ndef get_config(): pass\n')
    (configs / "b.py").write_text("def get_config(:\n")
    (configs / "common.py").write_text('"""Not a config."""\n')
    monkeypatch.chdir(tmp_path)
    code, out, err = equinet_command("list", "--json")
    assert (code, len(out), err) == (0, 1, [])
    listed = json.loads(out[0])
    assert listed["configs"]["configs/a.py"] == "First line."
    assert "cannot be read" in listed["configs"]["configs/b.py"]
    assert len(listed["configs"]) == 2
    assert "potential" in listed["presets"]


def test_list_prints_a_table_for_people(equinet_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # there is no configs/ folder
    code, out, err = equinet_command("list")
    assert (code, err) == (0, [])
    assert out[0].split() == ["config", "time", "command"]
    name, *_, command = re.split("  +", out[1])
    assert (name, command) == (
        "potential",
        "equinet train --config=potential --workdir=runs/potential",
    )
    assert not any(line.startswith("{") for line in out)


def test_a_bug_is_not_hidden(monkeypatch, tmp_path):
    import equinet.training.config as config

    def fails(*_):
        raise TypeError("a bug")

    monkeypatch.setattr(config, "existing_source", fails)
    with pytest.raises(TypeError, match="a bug"):
        main(["train", f"--config={TOY}", f"--workdir={tmp_path}"])


def test_a_config_that_needs_an_argument_says_which_there_are(equinet_command, tmp_path):
    graphs = Path(__file__).parents[1] / "configs/graphs.py"
    code, _, err = equinet_command("train", f"--config={graphs}:exp", f"--workdir={tmp_path / 'w'}")
    assert (code, len(err)) == (2, 1)
    assert "expected exp-<model>, the models are gin, " in err[0]


def test_a_wrong_model_is_one_whole_sentence(equinet_command, tmp_path):
    code, _, err = equinet_command(
        "train", "--config=potential", f"--workdir={tmp_path / 'w'}", "--config.model.lmax=-1"
    )
    assert (code, err) == (2, ["equinet: error: config.model: lmax must be at least 0, got -1"])


def test_a_workdir_that_cannot_be_written_is_one_line(equinet_command, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = equinet_command("train", f"--config={TOY}", f"--workdir={tmp_path}/file/run")
    assert (code, out, len(err)) == (2, [], 1)
    assert "file/run cannot be written (Not a directory): choose a folder" in err[0]


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"equinet {equinet.__version__}\n")


def test_help_lists_the_keys_of_a_config(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert "training.learning_rate" in text
    assert "Learning rate at the peak of the schedule." in text
    with pytest.raises(SystemExit):
        main(["train", "--config=potential", "--help"])
    text = capsys.readouterr().out
    assert "data.temperature_K" in text
    assert "kelvin" in text


def test_every_key_has_a_value_a_type_and_a_meaning(equinet_command):
    code, out, _ = equinet_command(
        "config", "--config=potential", "--json", "--config.training.steps=12"
    )
    keys = {row["key"]: row for row in json.loads(out[0])["keys"]}
    assert code == 0
    assert keys["training.steps"]["default"] == 12
    assert keys["data.temperature_K"]["unit"] == "kelvin"
    assert keys["model.network"]["type"].startswith("one of irreps, ponita")
    assert [key for key, row in keys.items() if not row["meaning"] or not row["type"]] == []
    code, out, _ = equinet_command("config", "--config=potential")
    assert any(line.startswith("training.mesh") and "(('data', -1),)" in line for line in out)


def test_the_preset_and_the_config_of_the_project_are_one():
    root = Path(__file__).parents[1]
    assert load_config(str(root / "configs/potential.py")) == load_config("potential")
    assert load_config("potential:ponita").model.network == "ponita"


def test_init_writes_a_project_that_runs(equinet_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, out, _ = equinet_command("init", "mine", "--json")
    result = json.loads(out[0])
    assert (code, result["files"]) == (0, ["mine/my_config.py", "mine/my_task.py"])
    few = ("--config.training.steps=2", "--config.data.samples=60", "--config.model.channels=2")
    code, out, _ = equinet_command(*result["next"].split()[1:], *few)
    assert (code, json.loads(out[-1])["steps"]) == (0, 2)
    assert json.loads(out[-1])["equivariance_error"]["float64"] < 1e-10
    sys.modules.pop("my_task", None)
    code, _, err = equinet_command("init", "mine")
    assert (code, len(err)) == (2, 1)
    assert "exists and is not overwritten" in err[0]


def test_plot_draws_the_learning_curves(equinet_command, tmp_path):
    few = ("--config.training.steps=3", "--config.training.log_every=1")
    assert equinet_command("train", f"--config={TOY}", f"--workdir={tmp_path}", *few)[0] == 0
    code, out, _ = equinet_command("plot", f"--workdir={tmp_path}")
    assert code == 0
    names = {"learning_curves.png", "learning_curves.svg"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    assert all(line.startswith("wrote ") for line in out)


@pytest.mark.parametrize(("module", "extra"), [("matplotlib", "plots"), ("ase", "potentials")])
def test_a_missing_extra_says_what_to_install(module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'equinet-jax\[{extra}\]'"):
        require(module, extra)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_examples_can_be_pasted_into_a_shell(command):
    lines = [line.strip() for line in command.epilog.splitlines() if "equinet " in line]
    examples = [line for line in lines if line.startswith("equinet ")]
    assert examples
    for line in examples:
        assert not set("[]<>|") & set(re.sub("'[^']*'", "", line)), line
        words = shlex.split(line)
        assert words[1] == command.name or words[1] in [other.name for other in COMMANDS]
