"""`equinet products`: the tensor products compared on this machine."""

import argparse

from equinet.commands._command import Command, Flags, Result


def _add_flags(parser: Flags) -> None:
    for name, default, help in (
        ("lmax", 4, "highest degree of the features"),
        ("channels", 16, "number of channels"),
        ("batch", 256, "number of rows of the batch"),
    ):
        text = f"{help}; default {default}"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="NUMBER", help=text)
    parser.add_argument(
        "--products", metavar="NAMES", help="some of the products, such as gaunt,cp; default all"
    )


def _run(options: argparse.Namespace) -> Result:
    from equinet.commands._comparison import compare_products, table
    from equinet.training.machine import machine

    sizes = {"lmax": options.lmax, "channels": options.channels, "batch": options.batch}
    names = options.products.split(",") if options.products else None
    rows = compare_products(**sizes, products=names, progress=_say)
    print(table(rows))
    return {"command": "products", **sizes, "rows": rows, **machine()}


def _say(name: str) -> None:
    print(f"measuring {name} ...", flush=True)


COMMAND = Command(
    name="products",
    help="compare the tensor products of irreps on this machine",
    add_flags=_add_flags,
    run=_run,
    epilog="""\
examples:
  equinet products --lmax=4
  equinet products --lmax=6 --channels=32 --products=clebsch_gordan,gaunt
""",
)
