"""Fixtures of the data tests."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equinet.data.atoms import Frame


@pytest.fixture
def data_dir() -> Path:
    """The directory of the public data sets, which the project does not ship."""
    directory = os.environ.get("EQUINET_DATA")
    if not directory:
        pytest.skip("EQUINET_DATA is not set: the public data sets are not on this machine")
    return Path(directory)


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """Makes random frames of hydrogen, carbon and oxygen, labelled unless told otherwise."""

    def make(
        atoms: int, seed: int = 0, *, cell: float | None = None, labelled: bool = True
    ) -> Frame:
        rng = np.random.default_rng(seed)
        size = 1.5 * atoms ** (1 / 3)
        return Frame(
            numbers=rng.choice([1, 6, 8], atoms),
            positions=rng.uniform(-size, size, (atoms, 3)),
            cell=None if cell is None else cell * (np.eye(3) + 0.2 * rng.normal(size=(3, 3))),
            pbc=(cell is not None,) * 3,
            energy=float(rng.normal()) - 100 * atoms if labelled else None,
            forces=rng.normal(size=(atoms, 3)) if labelled else None,
            stress=rng.normal(size=(3, 3)) if labelled and cell is not None else None,
            source=f"random {seed}",
        )

    return make
