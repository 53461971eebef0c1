"""The comparison of products: every product in it, honest rows, bad input."""

import json

import pytest

from equinet.cli import main
from equinet.commands._comparison import HEADS, VARIANTS, compare_products, table
from equinet.ops.products import PRODUCTS


@pytest.mark.slow
def test_every_product_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(VARIANTS) == set(PRODUCTS)
    assert main(["products", "--lmax", "1", "--channels", "2", "--batch", "4"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out.splitlines()[-1])
    assert result["command"] == "products"
    assert {row["product"] for row in result["rows"]} == set(PRODUCTS)
    for row in result["rows"]:
        assert set(HEADS) <= set(row)
        assert row["paths"] == (4 if row["product"] == "gaunt" or "nat" in row["method"] else 5)
        assert row["equivariance_error_float64"] < 1e-12
        assert 0 < row["equivariance_error_float32"] < 1e-5
    assert "| complete       | matrix" in output.err


def test_an_approximation_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = (("exact", {}, 1), ("rank 28", {"rank": 28}, 1))
    monkeypatch.setitem(VARIANTS, "cp", variants)
    exact, low_rank = compare_products(2, channels=1, batch=2, products=["cp"], repeats=1)
    assert exact["exactness"] == "exact"
    assert "note" not in exact
    assert low_rank["exactness"] == "approximate"
    assert low_rank["equivariance_error_float64"] > 1e-3
    text = table([exact, low_rank])
    assert "cp, rank 28: this product is an approximation of low rank by choice" in text
    assert "cp, exact:" not in text


def test_a_product_that_cannot_be_made_says_so() -> None:
    rows = compare_products(30, channels=1, batch=1, products=["cp"], repeats=1)
    assert all("error" in row for row in rows)
    assert "cp: " in table(rows)


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="lmax, channels, batch and repeats must be at least 1"):
        compare_products(0)
    assert main(["products", "--products", "gant"]) == 2
    assert "unknown products ['gant']" in capsys.readouterr().err
