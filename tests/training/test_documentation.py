"""The page of all keys is that of the dataclasses."""

import importlib.util
import pathlib

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "training"


def test_the_page_of_keys_is_up_to_date():
    specification = importlib.util.spec_from_file_location("tables", DOCS / "config_tables.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    page = (DOCS / "config.md").read_text()
    for title, table in module.tables().items():
        assert f"## {title}\n\n{table}\n" in page, "run python docs/training/config_tables.py"
        rows = [line.split(" | ") for line in table.splitlines()[2:]]
        assert all(len(row[-1]) > 3 for row in rows), f"a key of {title} has no meaning"
