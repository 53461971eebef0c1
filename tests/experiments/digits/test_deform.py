"""Digits and their deformations: readers, maps that are exact, the recipe of the test set."""

import gzip
import sys

import numpy as np
import pytest

from experiments.digits.deform import (
    IDX,
    centred,
    deform,
    draw_deformations,
    read_bundled_digits,
    read_idx,
    read_mnist,
)


@pytest.fixture
def digits():
    """Twenty bundled digits in the middle of 20 x 20 pixels."""
    return centred(read_bundled_digits().images[:20], 20)


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"equinet-jax\[images\]"):
        read_bundled_digits()


def test_mnist_is_read_from_either_form(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28))
    labels = np.arange(6)
    for name, array in zip(IDX, (images, labels), strict=True):
        write_idx(folder / name, array)
    first = read_mnist(tmp_path)
    np.savez(folder / "mnist_train.npz", x=images.astype(np.uint8), y=labels)
    for digits in (first, read_mnist(tmp_path)):
        np.testing.assert_allclose(digits.images, images / 255, rtol=1e-6)
        assert digits.labels.tolist() == labels.tolist()
        assert digits.images.dtype == np.float32


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz"):
        read_mnist(tmp_path)
    path = tmp_path / "x.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"x\.gz: not a whole gzip"):
        read_idx(path)
    path.write_bytes(gzip.compress(b"\0\0\x0d\x01"))
    with pytest.raises(ValueError, match="IDX file of bytes"):
        read_idx(path)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1, 2])))
    with pytest.raises(ValueError, match="cut off"):
        read_idx(path)
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "mnist_train.npz", x=np.full((2, 28, 28), np.nan), y=np.zeros(2))
    with pytest.raises(ValueError, match="not finite"):
        read_mnist(tmp_path)
    np.savez(tmp_path / "mnist" / "mnist_train.npz", x=np.zeros((2, 28, 28)), y=np.zeros(3))
    with pytest.raises(ValueError, match="as many labels"):
        read_mnist(tmp_path)


def test_deformations_of_the_grid_are_exact(digits):
    """The identity, quarter turns and whole translations move pixels onto pixels."""
    matrices = np.tile(np.eye(3), (3, 1, 1))
    matrices[1, :2, :2] = [[0, -1], [1, 0]]
    matrices[2, :2, 2] = 2, -3
    moved = deform(digits[:3], matrices)
    np.testing.assert_array_equal(moved[0], digits[0])
    np.testing.assert_array_equal(moved[1], np.rot90(digits[1], 1))
    np.testing.assert_array_equal(moved[2], np.roll(digits[2], (2, -3), (0, 1)))


@pytest.mark.parametrize("kind", ["affine", "homography"])
def test_the_recipe_keeps_all_ink_inside(digits, kind):
    """Brightness moves with its pixels: sums change by the determinant alone."""
    matrices = draw_deformations(np.random.default_rng(0), digits, kind)
    moved = deform(digits, matrices)
    if kind == "affine":
        area = np.linalg.det(matrices[:, :2, :2])
        np.testing.assert_allclose(moved.sum((1, 2)), digits.sum((1, 2)) * area, rtol=0.1)
        np.testing.assert_allclose(matrices[:, 2], np.tile([0, 0, 1.0], (20, 1)))
    corner = draw_deformations(np.random.default_rng(0), digits, kind, strength=0.5)
    assert np.abs(corner - np.eye(3)).max() < np.abs(matrices - np.eye(3)).max()
    assert np.abs(moved - digits).max() > 0.1


def test_ranges_of_the_recipe():
    ink = np.zeros((4000, 40, 40))
    ink[:, 15:25, 15:25] = 1
    linear = draw_deformations(np.random.default_rng(0), ink)[:, :2, :2]
    area = np.linalg.det(linear)
    assert 0.8**2 <= area.min() < 0.7
    assert 1.38 < area.max() <= 1.2**2
    still = draw_deformations(np.random.default_rng(0), ink[:5], strength=0)
    np.testing.assert_array_equal(still, np.tile(np.eye(3), (5, 1, 1)))
    turned = draw_deformations(np.random.default_rng(0), ink[:50], "rotation")
    np.testing.assert_allclose(np.linalg.det(turned), 1)


def test_bad_input(digits):
    with pytest.raises(ValueError, match="do not fit"):
        centred(digits, 19)
    with pytest.raises(ValueError, match="singular"):
        deform(digits[:1], np.zeros((1, 3, 3)))
    with pytest.raises(ValueError, match="a matrix for each of 2"):
        deform(digits[:2], np.eye(3)[None])
    with pytest.raises(ValueError, match="kind"):
        draw_deformations(np.random.default_rng(0), digits, "shear")
    with pytest.raises(ValueError, match="strength"):
        draw_deformations(np.random.default_rng(0), digits, strength=-1.0)
