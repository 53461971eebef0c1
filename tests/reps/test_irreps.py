"""Irreps: names, order and normal form, the action against e3nn-jax, and the way there and back."""

import copy
import dataclasses
import pickle

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equinet.groups import SE, SO, E, Group, O
from equinet.reps import Irrep, Irreps, Vector, from_irreps_array, to_irreps_array, wigner_d

irrep_lists = st.lists(
    st.tuples(st.integers(0, 3), st.builds(Irrep, st.integers(0, 3), st.sampled_from([1, -1])))
)
groups = st.sampled_from([O(3), SO(3), E(3), SE(3)])


@pytest.mark.parametrize(
    "spec",
    [
        "8x0e + 1o+2e",
        " 8 x 0e+1y+1x2e ",
        [(8, "0e"), "1o", (1, (2, 1))],
        ((8, (0, 1)), (1, (1, -1)), (1, (2, 1))),
        [(8, Irrep(0, 1)), Irrep(1, -1), Irrep(2, 1)],
        [(3, "0e"), (5, "0e"), (0, "4e"), "1o", "2e"],
        e3nn_jax.Irreps("8x0e+1o+2e"),
        list(e3nn_jax.Irreps("8x0e+1o+2e")),
        [(8, "0e"), e3nn_jax.Irrep("1o"), e3nn_jax.Irrep("2e")],
        Irreps("8x0e+1o+2e"),
    ],
)
def test_reads_every_spelling(spec: object) -> None:
    irreps = Irreps(spec)
    assert irreps == Irreps("8x0e+1o+2e")
    assert str(irreps) == "8x0e+1o+2e"
    assert (irreps.dim, irreps.lmax, irreps.num_irreps, len(irreps)) == (16, 2, 10, 3)
    assert list(irreps) == [(8, Irrep(0, 1)), (1, Irrep(1, -1)), (1, Irrep(2, 1))]
    assert irreps[1] == (1, Irrep(1, -1))
    assert irreps.slices() == [slice(0, 8), slice(8, 11), slice(11, 16)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("2x1", r"cannot read irreps from '2x1'.*such as \"8x1o\""),
        ("1o++2e", "cannot read irreps from ''"),
        ("-1x0e", "cannot read irreps from '-1x0e'"),
        (3, 'cannot read irreps from 3; write for example "8x0e'),
        ([(-2, "0e")], "a multiplicity is an integer >= 0, got -2"),
        ([("2", "0e")], "a multiplicity is an integer >= 0, got '2'"),
        ([(2, "e")], "cannot read an irrep from 'e'"),
        ([(1, (1, 0))], "p = 1 or -1"),
        ([(1, (-1, 1))], "l >= 0"),
        ([(32, 1)], r'write "32e" for one irrep, or \(32, "1o"\) for 32 copies'),
        ([[32, 1]], "could be a degree with a parity"),
        ([(1, (0.5, 1))], "integer l"),
    ],
)
def test_refuses_what_it_cannot_read(spec: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Irreps(spec)


@given(irrep_lists, groups)
def test_text_round_trip_and_merging(entries: list[tuple[int, Irrep]], group: Group) -> None:
    irreps = Irreps(entries, group=group)
    assert Irreps(str(irreps), group=group) == irreps == eval(repr(irreps))
    assert irreps.dim == sum(mul * ir.dim for mul, ir in entries)
    assert all(a[1] != b[1] for a, b in zip(irreps.entries, irreps.entries[1:], strict=False))
    assert all(mul > 0 for mul, _ in irreps)
    assert Irreps(irreps).group == group
    if group == O(3):
        assert str(e3nn_jax.Irreps(str(irreps)).simplify()) == str(
            e3nn_jax.Irreps(entries_of(irreps))
        )


def entries_of(irreps: Irreps) -> list[tuple[int, tuple[int, int]]]:
    return [(mul, (ir.l, ir.p)) for mul, ir in irreps]


@given(irrep_lists, irrep_lists)
def test_sums(a: list[tuple[int, Irrep]], b: list[tuple[int, Irrep]]) -> None:
    assert Irreps(a) + Irreps(b) == Irreps(a + b)
    assert 3 * Irreps(a) == Irreps(3 * a)
    assert isinstance(0 * Irreps(a), Irreps)


@settings(max_examples=20)
@given(irrep_lists, irrep_lists)
def test_tensor_product_equals_e3nn(a: list, b: list) -> None:
    product = Irreps(a).tensor_product(Irreps(b))
    expected = e3nn_jax.tensor_product(e3nn_jax.Irreps(str(Irreps(a))), str(Irreps(b)))
    assert product == Irreps(expected)
    assert product.dim == Irreps(a).dim * Irreps(b).dim == (Irreps(a) * Irreps(b)).dim
    small = Irreps(a).tensor_product(b, keep="0e+1o+2o", lmax=1)
    assert small == product.filter("0e+1o")


@given(irrep_lists)
def test_regroup(entries: list[tuple[int, Irrep]]) -> None:
    irreps = Irreps(entries)
    assert irreps.regroup() == Irreps(e3nn_jax.Irreps(str(irreps)).regroup())
    index = irreps.regroup_index()
    assert index.dtype == np.int32
    labels = np.array(
        [hash((ir, m)) for mul, ir in irreps for _ in range(mul) for m in range(ir.dim)]
    )
    regrouped = irreps.regroup()
    sorted_labels = [
        hash((ir, m)) for mul, ir in regrouped for _ in range(mul) for m in range(ir.dim)
    ]
    np.testing.assert_array_equal(labels[index] if len(index) else [], sorted_labels)


def test_filter_and_count() -> None:
    irreps = Irreps("2x0e+1o+2e+3o+0e")
    assert irreps.filter(lmax=1) == Irreps("2x0e+1o+0e")
    assert irreps.filter(lambda ir: ir.p == -1) == Irreps("1o+3o")
    assert irreps.filter(["0e", Irrep(3, -1)]) == Irreps("2x0e+3o+0e")
    assert irreps.filter(drop=["0e", "3o"]) == Irreps("1o+2e")
    assert (irreps.count("0e"), irreps.count((1, -1)), irreps.count(Irrep(1, 1))) == (3, 1, 0)


HABITS = [
    'Irrep("2e") == Irrep(2, 1) == Irrep((2, 1)) == Irrep(Irrep("2e"))',
    'Irrep("2y"), Irrep("1o") == "1o", Irrep("1o").is_scalar(), Irrep("0e").is_scalar()',
    "[str(ir) for ir in Irrep.iterator(2)]",
    'str(3 * Irrep("2e")), str(Irrep("1o") + Irrep("2e"))',
    'sorted([Irrep("1e"), Irrep("1o"), Irrep("0o"), Irrep("2o")], reverse=True)',
    'tuple(Irrep("1o")), [str(ir) for ir in Irrep("1o") * Irrep("2e")]',
    'Irrep(2, 1) in Irreps("3x0e+2x2e"), "2e" in Irreps("3x0e+2x2e"), "1o" in Irreps("2e")',
    'str(Irreps("3x0e+2x2e")[1:]), str(Irreps("3x0e+2x2e")[0]), str(Irreps("3x0e+2x2e")[-1].ir)',
    'Irreps("3x0e+2x2e")[0].mul, Irreps("3x0e+2x2e")[1].dim, [mul for mul, ir in Irreps("4x2e")]',
    'Irreps("2x0e+1o") == "2x0e+1o", Irreps("2x0e") == "1o", Irreps("0e") == "nonsense"[:0]',
    'str(Irreps("1o") + "2e"), str("2e" + Irreps("1o")), str(2 * Irreps("1o")), str(Irreps("1o"))',
    'Irreps("3x0e+2x2e").slices(), list(Irreps("2x2e+1o").ls), Irreps("2x2e+1o").lmax',
    'Irreps("0e").is_scalar(), Irreps("0e+1o").is_scalar(), Irreps("3x0e+2x2e").num_irreps',
    'tuple(Irreps("1o+0e+2e+1e").sort().p), tuple(Irreps("1o+0e+2e+1e").sort().inv)',
    'str(Irreps("1o+0e+2e+1e").sort().irreps), str(Irreps("1e+0o+1o+0e+1o").regroup())',
    'str(Irreps("2x1o+0e").simplify()), Irreps("0e+1o+2x0e").count("0e")',
    'str(Irreps("4x0e+1o").filter(drop="0e")), str(Irreps("4x0e+1o").filter(["0e"]))',
    'str(Irreps([(3, "0e"), "1o"])), str(Irreps(Irrep("1o"))), str(Irreps(""))',
]


@pytest.mark.parametrize("expression", HABITS)
def test_answers_as_e3nn_does(expression: str) -> None:
    ours = eval(expression, {"Irrep": Irrep, "Irreps": Irreps})
    theirs = eval(expression, {"Irrep": e3nn_jax.Irrep, "Irreps": e3nn_jax.Irreps})
    # e3nn writes a multiplicity of one, and so do the texts that are compared.
    assert _text(ours) == _text(theirs)


def _text(answer: object) -> str:
    return str(answer).replace("1x", "").replace("Irreps()", "").replace("'", "")


def test_irreps_and_their_entries_are_values() -> None:
    for irrep in Irrep.iterator(3):
        assert pickle.loads(pickle.dumps(irrep)) == copy.deepcopy(irrep) == irrep
        assert hash(irrep) == hash(Irrep(str(irrep))) == hash(str(irrep))
    with pytest.raises(dataclasses.FrozenInstanceError):
        irrep.l = 3  # type: ignore[misc]
    irreps = Irreps("8x0e+1o", group=SO(3))
    assert irreps[1:] == Irreps("1e", group=SO(3))
    assert pickle.loads(pickle.dumps(irreps)) == irreps
    assert (irreps + "1o") == Irreps("8x0e+2x1e", group=SO(3))
    assert "1o" in irreps  # parity means nothing under SO(3)


def test_spherical_harmonics() -> None:
    assert Irreps.spherical_harmonics(3) == Irreps("0e+1o+2e+3o")
    assert Irreps.spherical_harmonics(2, 1) == Irreps("0e+1e+2e")
    assert Irreps.spherical_harmonics(2, group=SO(3)) == Irreps("0e+1e+2e", group=SO(3))


def test_restriction_to_rotations_drops_parity(key: jax.Array) -> None:
    irreps = Irreps("0o+1o+1e+2o")
    restricted = Irreps(irreps, group=SO(3))
    assert restricted == Irreps("0e+2x1e+2e", group=SO(3)) != Irreps("0e+2x1e+2e")
    assert Irreps("1o", group=SE(3)) == Irreps("1e", group=SE(3)) != Irreps("1e", group=SO(3))
    g = SO(3).sample(key)
    np.testing.assert_allclose(irreps.matrix(g), restricted.matrix(g), atol=1e-5)
    assert (
        restricted.tensor_product("1o")
        == Irreps(irreps.tensor_product("1o"), group=SO(3)).regroup()
    )


def test_bad_groups_raise() -> None:
    with pytest.raises(
        ValueError, match=r"those of O\(3\), SO\(3\), E\(3\) and SE\(3\), got group O\(2\)"
    ):
        Irreps("1o", group=O(2))
    with pytest.raises(ValueError, match=r"cannot multiply irreps of O\(3\) and SO\(3\)"):
        Irreps("1o").tensor_product(Irreps("1o", group=SO(3)))
    with pytest.raises(ValueError, match="empty Irreps have no lmax"):
        Irreps("").lmax  # noqa: B018


def test_improper_elements_multiply_by_the_parity(key: jax.Array) -> None:
    irreps = Irreps("0e+0o+1o+1e+2e+2o")
    signs = np.repeat([1.0, -1.0, -1.0, 1.0, 1.0, -1.0], [1, 1, 3, 3, 5, 5])
    inversion = O(3).discrete_generators()[0]
    np.testing.assert_allclose(irreps.matrix(inversion), np.diag(signs), atol=1e-6)
    g = SO(3).sample(key)
    np.testing.assert_allclose(
        irreps.matrix(-g), np.diag(signs) @ np.asarray(irreps.matrix(g)), atol=1e-5
    )


def test_order_is_mul_major_and_vectors_are_xyz(key: jax.Array) -> None:
    g = O(3).sample(key)
    np.testing.assert_allclose(Irreps("2x1o").matrix(g), np.kron(np.eye(2), g), atol=1e-6)
    np.testing.assert_array_equal(Irreps("1o").matrix(g), Vector(O(3)).matrix(g))
    motion = E(3).sample(key)
    turn = E(3).linear_part(motion)
    np.testing.assert_allclose(
        Irreps("2e", group=E(3)).matrix(motion), wigner_d(2, turn), atol=1e-6
    )


# --- e3nn-jax ---


@pytest.mark.parametrize(
    ("spec", "channels", "reduced", "given"),
    [
        ("128x0e+64x1o", 64, "2x0e+1o", None),
        ("6x0e+4x1o", 2, "3x0e+2x1o", None),
        ("6x0e+4x1o", 1, "6x0e+4x1o", 1),
        ("4x2e+4x1e+8x2e", 2, "2x2e+2x1e+4x2e", 2),
        ("4x0e+2x0e", 6, "0e", None),
        ("0e+1o", 1, "0e+1o", None),
    ],
)
def test_e3nn_round_trip(spec: str, channels: int, reduced: str, given: int | None) -> None:
    names = e3nn_jax.Irreps(spec)
    flat = np.arange(2 * 3 * names.dim, dtype=np.float32).reshape(2, 3, names.dim)
    irreps, x = from_irreps_array(e3nn_jax.IrrepsArray(names, flat), given)
    assert irreps == Irreps(reduced)
    assert x.shape == (2, 3, irreps.dim, channels)
    back = to_irreps_array(irreps, x)
    assert back.irreps == names.simplify()
    np.testing.assert_array_equal(back.array, flat)
    again, y = from_irreps_array(back, channels)
    assert again == irreps
    np.testing.assert_array_equal(y, x)


def test_empty_round_trip_and_dtype() -> None:
    irreps, x = from_irreps_array(e3nn_jax.IrrepsArray("", jnp.ones((2, 0), jnp.bfloat16)))
    assert (irreps, x.shape, x.dtype) == (Irreps(""), (2, 0, 1), jnp.bfloat16)
    back = to_irreps_array(irreps, x)
    assert (back.array.shape, back.array.dtype) == ((2, 0), jnp.bfloat16)


def test_copies_stand_side_by_side_in_the_channels() -> None:
    """Copy ``c * channels + k`` of e3nn is copy ``c`` of channel ``k``."""
    _, x = from_irreps_array(e3nn_jax.IrrepsArray("4x1o", jnp.arange(12.0)), 2)
    np.testing.assert_array_equal(x[:, 0], [0, 1, 2, 6, 7, 8])
    np.testing.assert_array_equal(x[:, 1], [3, 4, 5, 9, 10, 11])


def test_action_equals_e3nn_through_the_converters(key: jax.Array, x64: None) -> None:
    names = "4x0e+2x0o+6x1o+2x1e+2x2o"
    array = e3nn_jax.normal(names, key, (3,), dtype=jnp.float64)
    irreps, x = from_irreps_array(array)
    assert irreps == Irreps("2x0e+0o+3x1o+1e+2o")
    g = -SO(3).sample(key)
    moved = to_irreps_array(irreps, irreps.transform(g, x))
    expected = array.transform_by_matrix(g)
    np.testing.assert_allclose(moved.array, expected.array, rtol=0, atol=1e-12)
    wrong = array.transform_by_matrix(-g)
    assert np.abs(moved.array - wrong.array).max() > 0.1


def test_converters_trace(key: jax.Array) -> None:
    def there_and_back(array: e3nn_jax.IrrepsArray) -> e3nn_jax.IrrepsArray:
        return to_irreps_array(*from_irreps_array(array))

    array = e3nn_jax.normal("4x0e+2x1o", key, ())
    np.testing.assert_array_equal(jax.jit(there_and_back)(array).array, array.array)


def test_converters_refuse() -> None:
    array = e3nn_jax.IrrepsArray("4x0e+2x1o", jnp.ones(10))
    with pytest.raises(
        ValueError, match=r"channels = 3 does not divide.*4x0e\+2x1o; take a divisor of 2"
    ):
        from_irreps_array(array, 3)
    with pytest.raises(ValueError, match="channels = 0 does not divide"):
        from_irreps_array(array, 0)
    with pytest.raises(ValueError, match=r"expected an e3nn_jax.IrrepsArray, got .*; wrap it"):
        from_irreps_array(jnp.ones(10))
    with pytest.raises(ValueError, match=r"needs \[\.\.\., 10, channels\], got \(10,\)"):
        to_irreps_array("4x0e+2x1o", jnp.ones(10))
