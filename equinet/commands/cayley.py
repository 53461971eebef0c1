"""`equinet cayley`: numbers of elements of a group by their distance in a Cayley graph."""

import argparse
import json
import time

from equinet.commands._command import Command, Flags, Result, columns


def _add_flags(parser: Flags) -> None:
    parser.add_argument(
        "--family", metavar="NAME", help="a known family of generators: lrx, pancake, cube222_htm"
    )
    parser.add_argument("--n", type=int, metavar="NUMBER", help="number of permuted objects")
    parser.add_argument(
        "--generators",
        metavar="JSON",
        help="permutations instead of a family, such as '[[1, 2, 0], [1, 0, 2]]'",
    )
    parser.add_argument(
        "--method",
        choices=("search", "closed"),
        default="search",
        help="search: breadth-first search; closed: the formula of the family; default search",
    )
    parser.add_argument(
        "--max_layers", type=int, metavar="NUMBER", help="stop after this number of layers"
    )
    parser.add_argument(
        "--max_bytes",
        type=int,
        default=16 * 2**30,
        metavar="NUMBER",
        help="refuse a search that needs more memory than this; default 16 GiB",
    )


def _run(options: argparse.Namespace) -> Result:
    if (options.family is None) == (options.generators is None):
        raise ValueError("cayley takes either --family or --generators")
    if options.method == "closed" and (options.family is None or options.max_layers is not None):
        raise ValueError("--method closed takes a --family, and no --max_layers")
    from equinet.groups.cayley import (
        CayleyGraph,
        Growth,
        cayley_graph,
        cayley_growth,
        closed_form,
    )
    from equinet.training.machine import machine

    begin = time.perf_counter()
    if options.method == "closed":
        growth = Growth(tuple(closed_form(options.family, options.n)), complete=True)
    else:
        if options.family is None:
            graph = CayleyGraph(_permutations(options.generators))
        else:
            graph = cayley_graph(options.family, options.n)
        growth = cayley_growth(graph, max_layers=options.max_layers, max_bytes=options.max_bytes)
    seconds = time.perf_counter() - begin
    rows = [(str(distance), str(size)) for distance, size in enumerate(growth.layers)]
    print(columns([("distance", "elements"), *rows]))
    return {
        "command": "cayley",
        "family": options.family,
        "n": options.n,
        "order": growth.order,
        "diameter": growth.diameter,
        "layers": growth.layers,
        "seconds": round(seconds, 3),
        **machine(),
    }


def _permutations(text: str) -> list[list[int]]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--generators: got {text!r}, expected JSON ({error})") from None
    lists = isinstance(given, list) and all(isinstance(one, list) for one in given)
    if not lists or not all(isinstance(i, int) for one in given for i in one):
        raise ValueError(f"--generators: got {given}, expected lists of integers")
    return given


COMMAND = Command(
    name="cayley",
    help="count the elements of a permutation group by distance in a Cayley graph",
    add_flags=_add_flags,
    run=_run,
    epilog="""\
examples:
  equinet cayley --family=lrx --n=8
  equinet cayley --family=coxeter --n=30 --method=closed
  equinet cayley --generators='[[1, 2, 0], [1, 0, 2]]'
""",
)
