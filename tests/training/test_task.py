"""Tasks by the name that a config gives them."""

import sys

import pytest

from equinet.training import load_task


def test_a_task_is_found_by_name(monkeypatch, tmp_path):
    text = "from equinet.training import Task\nclass Right(Task): pass\nclass Wrong: pass\n"
    (tmp_path / "a_task_of_test.py").write_text(text)
    (tmp_path / "a_broken_task_of_test.py").write_text("import nothing_of_the_kind\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert type(load_task("a_task_of_test:Right")).__name__ == "Right"
    with pytest.raises(ValueError, match="no class 'Rihgt' in a_task_of_test: did you mean Right"):
        load_task("a_task_of_test:Rihgt")
    with pytest.raises(ValueError, match=r"expected a subclass of equinet.training.Task, got"):
        load_task("a_task_of_test:Wrong")
    with pytest.raises(ModuleNotFoundError, match="nothing_of_the_kind"):
        load_task("a_broken_task_of_test:Right")


@pytest.mark.parametrize("name", ["", "module", ":Class", "module:"])
def test_a_name_has_two_parts(name):
    with pytest.raises(ValueError, match=r'expected "module\.of\.task:Class"'):
        load_task(name)


def test_no_module():
    with pytest.raises(ValueError, match="no module 'not_there_at_all'"):
        load_task("not_there_at_all:Task")
    with pytest.raises(ValueError, match=r"no module 'equinet\.not_there'"):
        load_task("equinet.not_there:Task")
