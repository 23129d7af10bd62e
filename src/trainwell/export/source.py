"""Source text of our own functions and classes, to be put into files that need no trainwell."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Sequence
from types import ModuleType


def definitions(
    module: ModuleType, names: Sequence[str], without: Collection[str] = ()
) -> list[str]:
    """The text of functions, classes and constants of a module.

    without: methods that are left out. Raises KeyError where a name is not defined there.
    """
    text = inspect.getsource(module)
    lines = text.splitlines()
    found: dict[str, str] = {}
    for node in ast.parse(text).body:
        name = _name(node)
        if name in names:
            found[name] = "\n".join(_lines(lines, node, without))
    return [found[name] for name in names]


def body(module: ModuleType) -> str:
    """The text of a module behind its docstring, without what it imports from trainwell."""
    text = inspect.getsource(module)
    lines = text.splitlines()
    kept: list[str] = []
    for place, node in enumerate(ast.parse(text).body):
        docstring = place == 0 and isinstance(node, ast.Expr)
        ours = isinstance(node, ast.ImportFrom) and (
            node.module == "__future__" or str(node.module).startswith("trainwell")
        )
        if not docstring and not ours:
            apart = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)
            kept += ["", ""] if apart else []
            kept += _lines(lines, node, ())
    return "\n".join(kept) + "\n"


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def _lines(lines: list[str], node: ast.stmt, without: Collection[str]) -> list[str]:
    """The lines of a statement with its decorators, without some of a class's methods."""
    left_out: set[int] = set()
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name in without:
                left_out |= set(range(_first(inner) - 1, (inner.end_lineno or 0) + 1))
    numbers = range(_first(node), (node.end_lineno or 0) + 1)
    kept = [lines[n - 1] for n in numbers if n not in left_out]
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _first(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])
