"""Every page of the site runs, is linked, and links to what exists."""

import functools
import pathlib
import re

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = ("_build", "api", "notebooks", "_extensions")  # what `make docs` writes

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<word>\S*)[^\n]*\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.S | re.M
)
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)")


def pages() -> list[pathlib.Path]:
    """All pages that the repository holds, and README."""
    written = [p for p in DOCS.rglob("*.md") if p.relative_to(DOCS).parts[0] not in GENERATED]
    return [ROOT / "README.md", *sorted(written)]


def name_of(page: pathlib.Path) -> str:
    """The path of a page from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def fences(text: str, word: str) -> list[tuple[int, str]]:
    """Line and text of all fenced blocks with this word."""
    found = (m for m in _FENCE.finditer(text) if m["word"] == word)
    return [(text.count("\n", 0, m.start("body")), m["body"]) for m in found]


def every_page() -> list:
    """All pages as parameters; those that are read first run in every test run."""
    first = ("README.md", "docs/start/", "docs/concepts/", "docs/howto/add_a_task.md")
    return [
        pytest.param(
            page,
            id=name_of(page),
            marks=() if name_of(page).startswith(first) else pytest.mark.slow,
        )
        for page in pages()
    ]


@pytest.mark.parametrize("page", every_page())
def test_code_blocks_run(page, tmp_path, monkeypatch):
    """The blocks of a page run in order, in one namespace, in an empty folder, as a user would."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for line, block in fences(page.read_text(), "python"):
            # Empty lines in front, so that a traceback names the line of the page.
            exec(compile("\n" * line + block, str(page), "exec"), namespace)


def children(page: pathlib.Path) -> set[pathlib.Path]:
    """Pages in the toctrees of a page."""
    found = set()
    for _, body in fences(page.read_text(), "{toctree}"):
        lines = [line.strip() for line in body.splitlines()]
        entries = [line for line in lines if line and not line.startswith(":")]
        for entry in entries:
            target = re.sub(r".*<(.*)>", r"\1", entry)
            base, pattern = (DOCS, target[1:]) if target.startswith("/") else (page.parent, target)
            found |= {p.resolve() for p in base.glob(f"{pattern}.md")}
    return found


@functools.cache
def reachable() -> frozenset[pathlib.Path]:
    """All pages under the toctrees of the index."""
    seen, waiting = set(), [(DOCS / "index.md").resolve()]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.relative_to(DOCS).parts[0] not in GENERATED:
            seen.add(page)
            waiting.extend(children(page))
    return frozenset(seen)


@pytest.mark.parametrize("page", pages()[1:], ids=name_of)
def test_page_is_reachable(page):
    """Every page lies in a toctree that starts at the index."""
    assert page.resolve() in reachable(), f"{name_of(page)} is in no toctree"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_resolve(page):
    """Relative links lead to files of the repository, or to pages that `make docs` writes."""
    text = _FENCE.sub("", page.read_text())
    for match in _LINK.finditer(text):
        target = match["target"].split("#")[0]
        if not target or re.match(r"[a-z]+:", target):
            continue
        base = DOCS / target[1:] if target.startswith("/") else page.parent / target
        base = base.resolve()
        made = base.is_relative_to(DOCS) and base.relative_to(DOCS).parts[0] in GENERATED
        assert made or base.exists() or base.with_suffix(".md").exists(), (
            f"{name_of(page)} links to {target}, which is not there"
        )


def test_control_finds_broken_pages(tmp_path):
    """The checks see blocks, links and toctrees where they are."""
    text = "```python\nx = 1\n```\n\n````{toctree}\na\n````\n\n[here](no/such.md)\n"
    assert fences(text, "python") == [(1, "x = 1\n")]
    assert fences(text, "{toctree}") == [(5, "a\n")]
    assert [match["target"] for match in _LINK.finditer(text)] == ["no/such.md"]
    (tmp_path / "a.md").write_text("")
    (tmp_path / "page.md").write_text(text)
    assert children(tmp_path / "page.md") == {(tmp_path / "a.md").resolve()}
