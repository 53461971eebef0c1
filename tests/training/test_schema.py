"""Sections of a config as dataclasses."""

import dataclasses
from typing import Literal

import pytest

from equinet.training import did_you_mean
from equinet.training.schema import build_section


@dataclasses.dataclass(frozen=True)
class Inner:
    width: int = 4


@dataclasses.dataclass(frozen=True)
class Outer:
    cutoff: float
    degree: int = 2
    name: str = "gaunt"
    bias: bool = True
    kind: Literal["a", "b"] = "a"
    limit: float | None = None
    widths: tuple[int, ...] = (8, 8)
    pair: tuple[str, int] = ("x", 1)
    inner: Inner = Inner()


def test_values_of_every_kind():
    section = {
        "cutoff": 5,
        "limit": 2,
        "widths": [1, 2, 3],
        "pair": ("y", 2),
        "inner": {"width": 7},
        "kind": "b",
    }
    assert build_section(Outer, section, "model") == Outer(
        cutoff=5.0, limit=2.0, widths=(1, 2, 3), pair=("y", 2), inner=Inner(7), kind="b"
    )


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({}, "missing key model.cutoff"),
        ({"cutof": 5.0}, "unknown key model.cutof: did you mean cutoff"),
        ({"cutoff": "5"}, "model.cutoff: expected a number, got '5'"),
        ({"cutoff": True}, "model.cutoff: expected a number, got True"),
        ({"cutoff": 5.0, "degree": 2.0}, "model.degree: expected an integer, got 2.0"),
        ({"cutoff": 5.0, "degree": True}, "model.degree: expected an integer"),
        ({"cutoff": 5.0, "bias": 1}, "model.bias: expected true or false"),
        ({"cutoff": 5.0, "kind": "c"}, "model.kind: got 'c': expected one of a, b"),
        ({"cutoff": 5.0, "limit": "x"}, "model.limit: expected a number or None"),
        ({"cutoff": 5.0, "widths": 3}, "model.widths: expected a tuple of integers, got 3"),
        ({"cutoff": 5.0, "widths": (1, "x")}, r"model.widths\[1\]: expected an integer"),
        ({"cutoff": 5.0, "pair": ("x",)}, "model.pair: expected 2 values"),
        ({"cutoff": 5.0, "inner": {"with": 1}}, "unknown key model.inner.with: did you mean width"),
    ],
)
def test_errors_are_one_line(section, line):
    with pytest.raises(ValueError, match=line) as caught:
        build_section(Outer, section, "model")
    assert "\n" not in str(caught.value)


def test_did_you_mean_finds_a_key_in_another_section():
    assert "model.channels" in did_you_mean("training.channels", ["model.channels", "model.degree"])
