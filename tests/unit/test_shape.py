"""The shape of the house: sizes, who may import what, no dialect in Python, every public name documented."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rxsql
from rxsql.store import sqlfiles
from rxsql.store.engine import dialect_for

PACKAGE = Path(rxsql.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MODULE_LINES = 300
BODY_LINES = 40
DIALECTS = ("sqlite", "mssql", "postgresql")
KNOWS_DIALECTS = ("store/dialects/", "store/engine.py")  # the dialects themselves, and the registry of URLs
PICKLES = "payload"  # the only part that pickles


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function's body has, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_there_is_a_package_to_look_at() -> None:
    """The package's modules are found, so that the tests below have something to say."""
    assert {"errors.py", "settings.py", "client/execute.py", "store/engine.py"} <= {
        _name(path) for path in MODULES
    }


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_is_short(path: Path) -> None:
    """No module has more than 300 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_function_is_short(path: Path) -> None:
    """No function's body has more than 40 lines; 25 is the aim."""
    lines = {function.name: _body_lines(function) for function in _functions(_tree(path))}
    assert {name: count for name, count in lines.items() if count > BODY_LINES} == {}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_says_what_lives_there(path: Path) -> None:
    """Each module begins with a docstring whose first line is a sentence."""
    first = (ast.get_docstring(_tree(path)) or "").partition("\n")[0]
    assert first.endswith(".")


# ------------------------------------------------------------------------------------------ no dialect in Python


def _dialects_tested(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that compare something with a dialect's name, or look for one in a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts: list[ast.AST] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith")
        ):
            parts = list(node.args)
        else:
            continue
        words = [
            c.value
            for part in parts
            for c in ast.walk(part)
            if isinstance(c, ast.Constant) and isinstance(c.value, str)
        ]
        if any(dialect in word.lower() for word in words for dialect in DIALECTS):
            yield node.lineno


@pytest.mark.parametrize(
    "path", [path for path in MODULES if not _name(path).startswith(KNOWS_DIALECTS)], ids=_name
)
def test_no_module_asks_for_the_dialect(path: Path) -> None:
    """Outside the dialects and the registry of URLs, nothing depends on a dialect's name: a file's folder chooses."""
    assert list(_dialects_tested(_tree(path))) == []


@pytest.mark.parametrize(
    "code",
    [
        "if dialect == 'sqlite': pass",
        "x = 'mssql' in name",
        "url.startswith('postgresql')",
        "match x:\n case 'mssql': pass",
    ],
)
def test_a_question_for_the_dialect_is_found(code: str) -> None:
    """The search above finds what it is there to find."""
    assert list(_dialects_tested(ast.parse(code)))


def test_all_dialects_have_the_same_files() -> None:
    """Each dialect's folder has a schema, views, and the queries of the same names."""
    folders = [path for path in sqlfiles.sql_root().iterdir() if path.is_dir()]
    names = {
        folder.name: sorted(path.name for path in (folder / "queries").glob("*.sql")) for folder in folders
    }
    assert "sqlite" in names
    assert all(found == names["sqlite"] for found in names.values())
    assert all((folder / name).is_file() for folder in folders for name in ("schema.sql", "views.sql"))


def test_each_query_file_is_used() -> None:
    """Python names every query file; none lies around."""
    named = {
        node.value
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    files = {path.stem for path in (sqlfiles.sql_root() / "sqlite" / "queries").glob("*.sql")}
    assert files - named == set()


def test_a_dialect_has_the_name_of_its_folder(tmp_path: Path) -> None:
    """A store's dialect is called as the folder of its SQL files is."""
    assert (sqlfiles.sql_root() / dialect_for(str(tmp_path / "jobs.db")).name).is_dir()


# ------------------------------------------------------------------------------------------------------- imports


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


def test_only_payload_pickles() -> None:
    """pickle and its kin are imported in rxsql.payload, nowhere else."""
    pickling = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    users = [_name(path) for path in MODULES if _imports(_tree(path)) & pickling]
    assert {name.partition("/")[0].removesuffix(".py") for name in users} == {PICKLES}


def test_only_the_store_speaks_to_databases() -> None:
    """Drivers and SQLAlchemy are imported in the store alone."""
    drivers = {"sqlalchemy", "sqlite3", "pyodbc"}
    users = [_name(path) for path in MODULES if _imports(_tree(path)) & drivers]
    assert users
    assert all(name.startswith("store/") for name in users)


# -------------------------------------------------------------------------------------------------- public names


@pytest.mark.parametrize("name", rxsql.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    """Each public name has a docstring of its own, beginning with a sentence."""
    value: Any = getattr(rxsql, name)
    documented = value if isinstance(value, type) or callable(value) else type(value)
    first = (documented.__doc__ or "").strip().partition("\n")[0]
    assert first.endswith(".")


@pytest.mark.parametrize("name", rxsql.__all__)
def test_a_public_class_documents_its_methods(name: str) -> None:
    """What a public class offers is documented too."""
    value: Any = getattr(rxsql, name)
    members = vars(value) if isinstance(value, type) else {}
    bare = [
        member
        for member, found in members.items()
        if not member.startswith("_")
        and (callable(found) or isinstance(found, (property, staticmethod)))
        and not found.__doc__
    ]
    assert bare == []


def test_public_names_are_sorted_and_loaded_lazily() -> None:
    """`import rxsql` has every public name, in order, and imports a part only when it is used."""
    assert list(rxsql.__all__) == sorted(rxsql.__all__)
    assert set(rxsql.__all__) <= set(dir(rxsql))
    for name in rxsql.__all__:
        value: Any = getattr(rxsql, name)
        home = getattr(value, "__module__", type(value).__module__)
        assert hasattr(importlib.import_module(home), name)
