"""Vectors, scalars and tensors: their names, their normal form and what they refuse."""

import pytest

from equinet.groups import SO, GLPlus, O
from equinet.reps import Irreps, Scalar, Tensor, Vector

V, W = Vector(O(3)), Vector(GLPlus(2))


def test_names() -> None:
    assert V * V == V**2 == Tensor(O(3), 2, 0) == Tensor(O(3), 1, 1) == Tensor(O(3), 0, 2)
    assert Tensor(GLPlus(2), 1, 1) == W * W.dual != W.dual * W
    assert Scalar(O(3)) == V**0
    assert V != Vector(SO(3)) != Irreps("1o", group=SO(3))
    assert V * (V + Scalar(O(3))) != V**2 + V
    assert (
        repr(2 * (V * Irreps("0o")) + V.dual**2)
        == '2 * (Vector(O(3)) * Irreps("0o")) + Vector(O(3))**2'
    )
    assert repr(Tensor(GLPlus(2), 1, 2)) == "Vector(GLPlus(2)) * Vector(GLPlus(2)).dual**2"


def test_only_groups_have_vectors() -> None:
    for bad in (lambda: Vector(3), lambda: Vector(O), lambda: Scalar("O(3)")):  # type: ignore
        with pytest.raises(ValueError, match=r"needs a group such as O\(3\)"):
            bad()
