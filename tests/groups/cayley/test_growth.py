"""Growth of Cayley graphs: published tables, closed forms, a naive search, bad input."""

import ast
import csv
import functools
import math
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups.cayley import (
    FAMILIES,
    CayleyGraph,
    Growth,
    cayley_graph,
    cayley_growth,
    closed_form,
)
from equinet.groups.cayley import growth as cayley
from equinet.groups.cayley.cosets import SHIFT_BITS, Cosets, _arrangements, _rank
from equinet.groups.cayley.families import compose, inverse

PUBLISHED = {
    ("lrx", 5): [1, 3, 6, 10, 16, 24, 29, 21, 6, 3, 1],
    ("lrx", 7): [
        *[1, 3, 6, 12, 22, 42, 73, 124, 203, 303, 425],
        *[559, 678, 713, 746, 611, 355, 122, 28, 10, 3, 1],
    ],
    ("lx", 5): [1, 2, 3, 5, 8, 12, 15, 20, 22, 19, 11, 2],
    ("pancake", 7): [1, 6, 30, 149, 543, 1357, 1903, 1016, 35],
    ("burnt_pancake", 4): [1, 4, 12, 36, 90, 124, 96, 18, 3],
    ("cube222_htm", None): [
        *[1, 9, 54, 321, 1847, 9992, 50136, 227536, 870072],
        *[1887748, 623800, 2644],
    ],
    ("cube222_qtm", None): [
        *[1, 6, 27, 120, 534, 2256, 8969, 33058, 114149, 360508],
        *[930588, 1350852, 782536, 90280, 276],
    ],
}
PANCAKE_DIAMETERS = {2: 1, 3: 3, 4: 4, 5: 5, 6: 7, 7: 8}
TABLED = [name for name in FAMILIES if name != "burnt_pancake" and FAMILIES[name].smallest]


def tables(family: str) -> dict[int, list[int]]:
    """The published layer sizes of a family by n."""
    if "EQUINET_DATA" not in os.environ:
        pytest.skip("EQUINET_DATA is not set")
    file = pathlib.Path(os.environ["EQUINET_DATA"]) / "cayley" / f"{family}_cayley_growth.csv"
    with file.open() as rows:
        return {int(n): ast.literal_eval(sizes) for n, sizes in csv.reader(rows)}


def search(family: str, n: int | None) -> Growth:
    return cayley_growth(cayley_graph(family, n))


def naive_layers(graph: CayleyGraph) -> list[int]:
    """Breadth-first search over tuples in a set, by the definition of the neighbours."""
    start = (tuple(range(graph.n)), (0,) * graph.n)
    seen, layer, sizes = {start}, [start], []
    while layer:
        sizes.append(len(layer))
        found = {compose(state, g, graph.modulus) for state in layer for g in graph.generators}
        layer = list(found - seen)
        seen |= found
    return sizes


@pytest.mark.parametrize(("family", "n"), list(PUBLISHED))
def test_published_vectors(family: str, n: int | None) -> None:
    growth = search(family, n)
    assert list(growth.layers) == PUBLISHED[family, n]
    assert growth.complete
    assert growth.diameter == len(growth.layers) - 1


@pytest.mark.parametrize("family", TABLED)
def test_tables_by_search(family: str) -> None:
    rows = {n: sizes for n, sizes in tables(family).items() if n <= 8}
    assert len(rows) >= 5
    for n, sizes in rows.items():
        assert list(search(family, n).layers) == sizes, n


@pytest.mark.slow
@pytest.mark.parametrize("n", [9, 10])
@pytest.mark.parametrize("family", TABLED)
def test_larger_tables_by_search(family: str, n: int) -> None:
    assert list(search(family, n).layers) == tables(family)[n]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["lrx", "lx", "full_reversals"])
def test_tables_of_eleven_by_search(family: str) -> None:
    assert list(search(family, 11).layers) == tables(family)[11]


@pytest.mark.parametrize("family", ["coxeter", "all_transpositions"])
def test_closed_forms(family: str) -> None:
    rows = tables(family)
    assert max(rows) >= 18
    for n, sizes in rows.items():
        assert closed_form(family, n) == sizes
        assert sum(sizes) == math.factorial(n)


def test_diameters_of_pancakes() -> None:
    found = {n: search("pancake", n).diameter for n in PANCAKE_DIAMETERS}
    assert found == PANCAKE_DIAMETERS


@pytest.mark.parametrize("modulus", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_any_generators_agree_with_a_naive_search(modulus: int, seed: int) -> None:
    rng = np.random.default_rng([modulus, seed])
    permutations = [rng.permutation(5).tolist() for _ in range(2)]
    twists = rng.integers(0, modulus, (2, 5))
    graph = CayleyGraph(permutations, twists, modulus)
    growth = cayley_growth(graph)
    assert list(growth.layers) == naive_layers(graph)
    assert graph.capacity % growth.order == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_signs_agree_with_a_naive_search(n: int) -> None:
    graph = cayley_graph("burnt_pancake", n)
    assert list(cayley_growth(graph).layers) == naive_layers(graph)
    assert graph.order == 2**n * math.factorial(n)


def test_an_order_that_no_one_stated() -> None:
    # The Mathieu group M11 of order 7920, by even permutations of eleven points.
    turn = (*range(1, 11), 0)
    other = [0, 1, 6, 9, 5, 3, 10, 2, 8, 4, 7]
    graph = CayleyGraph([turn, other])
    assert graph.capacity == math.factorial(11) // 2
    growth = cayley_growth(graph)
    assert growth.order == 7920
    assert growth.layers[:2] == (1, 2)
    assert growth.complete


def test_a_search_can_stop_early() -> None:
    graph = cayley_graph("lrx", 7)
    growth = cayley_growth(graph, max_layers=4)
    assert (growth.layers, growth.complete, growth.diameter) == ((1, 3, 6, 12), False, None)
    assert cayley_growth(graph, max_layers=1).layers == (1,)
    assert cayley_growth(graph, max_layers=22) == cayley_growth(graph)


def test_words_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(0).integers(0, 2**32, (30, 24), np.uint32)
    monkeypatch.setattr(cayley, "_BLOCK_BYTES", 1000)
    counts = cayley._count.__wrapped__(jnp.asarray(words))
    assert counts.shape == (3,)
    assert int(counts.sum()) == np.bitwise_count(words).sum()


def test_a_search_does_not_depend_on_x64(x64: None) -> None:
    assert list(search("lx", 5).layers) == PUBLISHED["lx", 5]
    assert list(search("all_transpositions", 6).layers) == closed_form("all_transpositions", 6)


def test_a_wrong_order_is_found() -> None:
    with pytest.raises(RuntimeError, match="reached 6 states of 12"):
        cayley_growth(CayleyGraph([[1, 2, 0], [1, 0, 2]], order=12))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_families_know_their_generators(family: str) -> None:
    smallest = FAMILIES[family].smallest
    graph = cayley_graph(family, None if smallest is None else smallest + 2)
    assert graph.inverse_closed == (family != "lx")
    assert graph.order is not None
    assert graph.capacity % graph.order == 0
    for generator in graph.generators:
        unit = compose(generator, inverse(generator, graph.modulus), graph.modulus)
        assert unit == (tuple(range(graph.n)), (0,) * graph.n)
    if smallest is not None:
        with pytest.raises(ValueError, match=f"expected n >= {smallest}"):
            cayley_graph(family, smallest - 1)


def test_the_corner_that_is_held_loses_no_state() -> None:
    graph = cayley_graph("cube222_htm")
    assert graph.zero_sum
    assert graph.capacity == graph.order == math.factorial(7) * 3**6
    quarters = set(cayley_graph("cube222_qtm").generators)
    assert quarters < set(graph.generators)
    four = [functools.reduce(lambda a, b: compose(a, b, 3), [g] * 4) for g in graph.generators]
    assert set(four) == {(tuple(range(7)), (0,) * 7)}


@pytest.mark.parametrize("n", range(1, 10))
def test_cosets_are_ranked_one_to_one(n: int) -> None:
    cosets = Cosets(n)
    lead, tail = cosets.cycles
    assert sum(lead + tail) == n
    assert cosets.rows * cosets.columns * cosets.bits == math.factorial(n)
    places = _arrangements(lead + tail, n)
    ranks, shifts = _rank(lead + tail, n, cosets.bits, places)
    np.testing.assert_array_equal(ranks, np.arange(cosets.rows * cosets.columns))
    assert not shifts.any()
    # Every power of c: values v of a cycle move on by one in it.
    ends = np.cumsum(lead + tail)
    values = np.concatenate(
        [end - c + np.roll(np.arange(c), 1) for c, end in zip(lead + tail, ends, strict=True)]
    )
    for power in range(1, cosets.bits):
        places = places[:, values]
        ranks, shifts = _rank(lead + tail, n, cosets.bits, places)
        np.testing.assert_array_equal(ranks, np.arange(len(places)))
        assert np.all(shifts == power)


def test_predecessors_are_one_to_one_on_rows() -> None:
    cosets = Cosets(7, 3, True)
    for generator in cayley_graph("cube222_qtm").generators:
        rows, actions = cosets.predecessors(*generator)
        np.testing.assert_array_equal(np.sort(rows), np.arange(cosets.rows))
        assert (actions >> SHIFT_BITS).max() < len(cosets.tail_actions())
        assert not cosets.tail_actions().flags.writeable


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cayley_graph("lrz", 5), "no family 'lrz': did you mean lrx"),
        (lambda: cayley_graph("rubik", 5), "expected lrx, lx, pancake"),
        (lambda: cayley_graph("lrx"), "got n=None, expected n >= 3"),
        (lambda: cayley_graph("cube222_htm", 2), "got n=2, leave n out"),
        (lambda: closed_form("lrx", 5), "no closed form .only coxeter, all_transpositions"),
        (lambda: CayleyGraph([]), "got no generators"),
        (lambda: CayleyGraph([[0, 1], [1, 1]]), "generator 1: got .1, 1."),
        (lambda: CayleyGraph([[0, 1], [0, 2, 1]]), "expected a permutation of 0..1"),
        (lambda: CayleyGraph([[1, 0]], [[1]], 2), "expected 2 numbers for every generator"),
        (lambda: CayleyGraph([[1, 0]], modulus=0), "got modulus 0"),
        (lambda: cayley_growth(cayley_graph("lrx", 5), max_layers=0), "got max_layers=0"),
        (lambda: cayley_graph("all_transpositions", 65), "got n=65, expected at most 64"),
        (
            lambda: cayley_growth(CayleyGraph([np.roll(np.arange(300), 1)])),
            "more than a million GB",
        ),
        (lambda: search("lrx", 20), "needs .* GB, over max_bytes"),
        (
            lambda: cayley_growth(cayley_graph("lrx", 9), max_bytes=1000),
            "over max_bytes=1,000",
        ),
    ],
)
def test_bad_input_is_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
