"""SECURITY.md keeps its word: each threat names a test, and each of these tests is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| **", "| ---", "| threat"))
]


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the tests of *file*: functions, methods, classes, state machines that are given a name."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    names |= {
        t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
    }
    return frozenset(name for name in names if name.lower().startswith("test"))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=str)
def test_the_test_that_shows_a_defence_is_there(file: str, name: str) -> None:
    """Under the name that the page gives it."""
    assert name in names_in(file)


def test_every_threat_has_its_defence_and_its_test() -> None:
    """No row without either, and no test in a form that nobody checks."""
    rows = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in ROWS]

    assert len(rows) > 45
    assert [row for row in rows if len(row) != 3 or not all(row) or not re.search(r"`tests/\S+::\w+`", row[2])] == []
    assert len(re.findall(r"tests/\S+::", PAGE)) == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE))
