"""Fits of CP factors: the counts, the derivatives, small refits, and every shipped table."""

import json

import numpy as np
import pytest

from equinet.ops.products import cp_fit
from equinet.ops.products.cp_fit import (
    compose,
    couplings,
    fit,
    load_factors,
    path_weights,
    residual,
    save_factors,
    stack,
    stored_ranks,
)

# Smallest exact rank of each shipped case.
EXACT = {("all", 1): 7, ("all", 2): 30, ("all", 3): 90, ("even", 1): 6, ("even", 2): 18}
EXACT |= {("even", 3): 32, ("even", 4): 58, ("even", 5): 82, ("even", 6): 123}
# Equivariance error in the Frobenius norm of the approximate factors, at rank 7 lmax**2.
APPROXIMATE = {("all", 2, 28): 9e-3, ("all", 3, 63): 2.9e-2, ("all", 4, 112): 2.6e-2}
APPROXIMATE |= {("all", 5, 175): 2.5e-2, ("all", 6, 252): 2.4e-2}


@pytest.fixture
def cache(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """An empty cache, and nothing remembered of it afterwards."""
    monkeypatch.setenv("EQUINET_CACHE", str(tmp_path))
    yield tmp_path / "cp"
    load_factors.cache_clear()


@pytest.mark.parametrize("lmax", [1, 2, 3, 4, 5, 6])
def test_path_counts(lmax: int) -> None:
    n = lmax + 1
    assert len(couplings(lmax, "all")) == n * (n * n + 1) // 2
    assert len(couplings(lmax, "even")) == [4, 11, 23, 42, 69, 106][lmax - 1]


def test_projection() -> None:
    paths = couplings(2, "all")
    weights = np.random.default_rng(0).normal(size=len(paths))
    table = stack(paths, weights)
    np.testing.assert_allclose(path_weights(table, paths), weights, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(table), np.linalg.norm(weights), atol=1e-13)


def test_gaunt_weights_multiply_functions() -> None:
    """At the pole only m = 0 lives: there the weighted tensor multiplies the values."""
    paths = couplings(2, "even")
    table = stack(paths, np.array([path.gaunt for path in paths]))
    pole = np.zeros(9)
    pole[[0, 2, 6]] = np.sqrt([1, 3, 5])
    np.testing.assert_allclose(table[0], np.eye(9), atol=1e-13)
    low = np.einsum("ijk,i,j->k", table, *[np.eye(9)[2]] * 2)
    np.testing.assert_allclose(low @ pole, 3, atol=1e-13)
    assert (np.array([path.gaunt for path in paths]) ** 2 > 0.9).all()


def test_slopes_and_defect_are_derivatives() -> None:
    """Of the weights of the paths, and of the cost, by central differences."""
    paths = couplings(1, "all")
    problem = cp_fit._Problem(paths, stack(paths, np.ones(len(paths))))
    rng = np.random.default_rng(0)
    factors, move = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    there, back = factors + 1e-6 * move, factors - 1e-6 * move
    slope = problem.slopes(tuple(factors)) @ move.ravel()
    change = path_weights(compose(there), paths) - path_weights(compose(back), paths)
    np.testing.assert_allclose(slope, change / 2e-6, atol=1e-8)
    for pull in (1.0, 0.2):
        gradient = cp_fit._contract(problem.defect(tuple(factors), pull), *factors)
        slope = 2 * sum(np.vdot(a, b) for a, b in zip(gradient, move, strict=True))
        change = problem.cost(tuple(there), 0, pull) - problem.cost(tuple(back), 0, pull)
        np.testing.assert_allclose(slope, change / 2e-6, rtol=1e-6)


def test_refits_are_exact_and_deterministic() -> None:
    for lmax, kind, rank in ((1, "even", 7), (1, "all", 7), (2, "even", 22)):
        factors = fit(lmax, kind, rank)
        assert residual(factors, kind) < 1e-12
        assert factors[0].shape[1] <= rank
        norms = [np.linalg.norm(u, axis=0) for u in factors]
        np.testing.assert_allclose(norms[0], norms[1], rtol=1e-10)
        assert np.abs(path_weights(compose(factors), couplings(lmax, kind))).min() > 0.3
    for first, second in zip(factors, fit(2, "even", 22), strict=True):
        np.testing.assert_array_equal(first, second)


def test_too_small_a_rank_is_not_exact() -> None:
    """The control: rank 5 cannot hold four paths of 16 components."""
    assert residual(fit(1, "even", 5, iterations=5), "even") > 1e-2


def test_shipped_factors() -> None:
    known = stored_ranks()
    for (kind, lmax), ranks in known.items():
        for rank in ranks:
            factors = load_factors(kind, lmax, rank)
            assert [u.shape for u in factors] == [((lmax + 1) ** 2, rank)] * 3
            assert all(u.dtype == np.float64 and not u.flags.writeable for u in factors)
            assert max(np.linalg.norm(u, axis=0).max() for u in factors) < 10
            weights = path_weights(compose(factors), couplings(lmax, kind))
            assert np.abs(weights).min() > 0.25
            assert np.abs(weights).max() < 1.5
            error = residual(factors, kind)
            if (kind, lmax, rank) in APPROXIMATE:
                np.testing.assert_allclose(error, APPROXIMATE[kind, lmax, rank], rtol=0.1)
            elif rank != 7 * lmax**2 or lmax == 1:
                assert error < 1e-13, (kind, lmax, rank)
    for key, rank in EXACT.items():
        assert rank in known[key]


def test_cache(cache) -> None:
    assert 5 not in stored_ranks()["even", 1]
    rng = np.random.default_rng(0)
    path = save_factors("even", 1, tuple(rng.normal(size=(3, 4, 5))))
    assert path.parent == cache
    assert [file.name for file in cache.iterdir()] == ["even_1_5.npy"]
    assert 5 in stored_ranks()["even", 1]
    assert load_factors("even", 1, 5)[0].shape == (4, 5)


def test_command(cache, capsys: pytest.CaptureFixture) -> None:
    assert cp_fit.main(["--lmax", "1", "--rank", "5", "--iterations", "5", "--seeds", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rank"] <= 5
    assert report["residual"] > 1e-2
    assert str(cache) in report["path"]


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"kind of \('all', 'even'\), got 1 and 'odd'"):
        couplings(1, "odd")
    with pytest.raises(ValueError, match="rank must be at least 1, got 0"):
        fit(1, "all", 0)
