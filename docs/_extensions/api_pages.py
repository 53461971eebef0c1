"""Sphinx extension that writes what the site shows but the repository does not hold twice.

- One page for every public package: exactly the names of its `__init__.pyi` are documented.
- Copies of the notebooks, which lie outside of the folder that Sphinx reads.

Both are written before every build, into `docs/api` and `docs/notebooks`, which git ignores.
"""

import ast
import functools
import importlib
import inspect
import pathlib
import re
import shutil
import textwrap
import types
from collections.abc import Callable

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.pycode import ModuleAnalyzer

ROOT = pathlib.Path(__file__).parents[2]
# What every dataclass and pytree has is left out.
_INHERITED = ("replace", "tree_flatten", "tree_unflatten")
_SECTIONS = {
    "package": "Packages",
    "class": "Classes",
    "function": "Functions",
    "data": "Constants",
    "again": "Exported here too",
}


@functools.cache
def public_packages() -> list[str]:
    """Names of all packages that have a list of public names, parents first."""
    stubs = sorted((ROOT / "equinet").rglob("__init__.pyi"), key=lambda stub: stub.parent.parts)
    return [".".join(stub.parent.relative_to(ROOT).parts) for stub in stubs]


def _stub(package: str) -> ast.Module:
    return ast.parse(ROOT.joinpath(*package.split("."), "__init__.pyi").read_text())


@functools.cache
def public_names(package: str) -> list[str]:
    """The `__all__` of a package's stub."""
    for node in _stub(package).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return ast.literal_eval(value)
    raise ValueError(f"{package}/__init__.pyi has no __all__: list its public names there")


def home(package: str, name: str) -> str:
    """The first package, parents first, that exports the same object: the one that documents it."""
    value = getattr(importlib.import_module(package), name)
    for candidate in public_packages():
        exports = candidate != "equinet" and name in public_names(candidate)
        if exports and getattr(importlib.import_module(candidate), name) is value:
            return candidate
    return package


def _constant(package: str, name: str) -> str:
    """The description of a constant: the string that follows its assignment."""
    for node in _stub(package).body:
        match node:
            case ast.ImportFrom(module=str(module), level=1, names=[ast.alias(name=imported)]):
                if imported == name:
                    comments = ModuleAnalyzer.for_module(f"{package}.{module}").find_attr_docs()
                    text = "\n   ".join(comments.get(("", name), []))
                    return f".. py:data:: {package}.{name}\n\n   {text}\n"
    return f".. py:data:: {package}.{name}\n"


def _directive(package: str, name: str) -> tuple[str, str]:
    """The section of a name, and the lines that document it."""
    value = getattr(importlib.import_module(package), name)
    if inspect.isclass(value):
        options = f"   :members:\n   :exclude-members: {', '.join(_INHERITED)}\n"
        if "__call__" in vars(value):
            options += "   :special-members: __call__\n"
        return "class", f".. autoclass:: {package}.{name}\n{options}"
    if inspect.isroutine(value) or hasattr(value, "__wrapped__"):
        return "function", f".. autofunction:: {package}.{name}\n"
    return "data", _constant(package, name)


def api_page(package: str) -> str:
    """The page of one package in reStructuredText."""
    module = importlib.import_module(package)
    sections: dict[str, list[str]] = {kind: [] for kind in _SECTIONS.values()}
    for name in public_names(package):
        if name.startswith("__"):
            continue
        if isinstance(getattr(module, name), types.ModuleType):
            inner = f"{package}.{name}"
            known = inner in public_packages()
            sections["Packages"].append(f"- :doc:`{inner}`" if known else f"- ``{inner}``")
        elif (owner := home(package, name)) != package:
            sections["Exported here too"].append(f"- :py:obj:`{owner}.{name}`")
        else:
            kind, text = _directive(package, name)
            sections[_SECTIONS[kind]].append(text)
    lines = [package, "=" * len(package), "", inspect.getdoc(module) or "", ""]
    for title, entries in sections.items():
        if entries:
            lines += ["", title, "-" * len(title), "", *entries]
    return "\n".join([*lines, ""])


def write_pages(app: Sphinx) -> None:
    """Writes the pages of all packages and copies the notebooks."""
    packages = public_packages()
    entries = "\n".join(f"   {package}" for package in packages)
    index = (
        "API\n===\n\nAll public names, by package. "
        "A name that is not here is private and may change.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{entries}\n"
    )
    pages = {package: api_page(package) for package in packages} | {"index": index}
    _write_folder(pathlib.Path(app.srcdir) / "api", {f"{k}.rst": v for k, v in pages.items()})
    _copy_notebooks(pathlib.Path(app.srcdir) / "notebooks")


def _copy_notebooks(folder: pathlib.Path) -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    pages = {notebook.name: notebook.read_text() for notebook in notebooks}
    entries = "\n".join(notebook.stem for notebook in notebooks)
    pages["index.md"] = (
        "# Notebooks\n\nStories with pictures. The files are in the folder `notebooks/` of the "
        "repository; each runs in at most two minutes.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )
    _write_folder(folder, pages)


def _write_folder(folder: pathlib.Path, pages: dict[str, str]) -> None:
    """Makes a folder hold exactly these pages; unchanged ones keep their time."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _shorten(text: str) -> str:
    """Types as one says them: `Float[Array, '... n']` without the modules that define the words."""
    text = re.sub(
        r"\b(?:jaxtyping|jax|numpy|np|jnp|jax\.numpy|typing|collections\.abc)\.(?=[A-Z])", "", text
    )
    return re.sub(r"\bnumpy\.(?=ndarray)", "", text).replace("ndarray", "np.ndarray")


def _written_signature(function: Callable) -> tuple[str, str | None] | None:
    """Arguments and result of a function as its author wrote them, without `self`."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    positional = node.args.posonlyargs or node.args.args
    if positional and positional[0].arg in ("self", "cls"):
        positional.pop(0)
    returns = None if node.returns is None or node.name == "__init__" else ast.unparse(node.returns)
    return f"({ast.unparse(node.args)})", returns


def write_signature(app, what, name, obj, options, signature, returns):
    """Shows types by the words of the source, such as `Feature`, not by what they stand for."""
    function = obj.__init__ if what == "class" else obj
    written = _written_signature(function) if callable(function) else None
    if written is not None:
        return written
    return signature and _shorten(signature), returns and _shorten(returns)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-signature", write_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
