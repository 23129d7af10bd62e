"""Functions of one's own, named by where they lie: "module:function", "path/to/file.py:function".

Naming a function is asking to run its code: whoever takes such a text from a file asks for trust.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from trainwell.errors import RecipeError, UserError

# What stands before the colon, and a name or names joined by dots behind it. No quotes and no
# backslashes, so that the text is the same in Python, in a recipe file and in a shell.
FORM = re.compile(r"""(?P<place>[^"'\\\x00-\x1f]+):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)""")

TRUST_IT = "If you trust that code, add --trust (trust=True from Python)."
_FILES = "trainwell_custom_"  # name of modules that were read from a file


def check_form(text: str, technique: str, field: str) -> None:
    """Raise RecipeError where a text cannot name a function."""
    if not FORM.fullmatch(text):
        form = 'expected "module:function" or "path/to/file.py:function", with / in paths'
        raise RecipeError(technique, [f"{field}: {form}, got {text!r}"])


def place_of(function: Callable[..., Any], technique: str, field: str) -> str:
    """The text that names a function or class that other processes can import as well.

    A function of the script that runs is named by the script's file, which is read again then.
    Raises RecipeError for what has no place, such as a lambda.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module is None or not name or "<" in name:
        problem = f"{function!r} stands in no module under a name of its own"
        raise RecipeError(technique, [f"{field}: {problem}; write it as a function of a file"])
    if module == "__main__" or module.startswith(_FILES):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None:
            problem = f'"{name}" was written in a session, where other processes cannot find it'
            raise RecipeError(technique, [f"{field}: {problem}; put it into a file"])
        module = Path(file).resolve().as_posix()
    return f"{module}:{name}"


def found(text: str, where: str, returns: str) -> Callable[..., Any]:
    """The function that a text names.

    where: what messages call the text; returns: what the function should return, in words. Raises
    UserError that says what is wrong with the place.
    """
    place, _, name = text.rpartition(":")
    value: Any = _module(place, where)
    for part in name.split("."):
        if not hasattr(value, part):
            problem = f'there is no "{name}" in {place}'
            raise UserError(where, problem, "Name a function that stands there.")
        value = getattr(value, part)
    if not callable(value):
        problem = f'"{name}" is {type(value).__name__}, not a function'
        raise UserError(where, problem, f"Name a function that returns {returns}.")
    function: Callable[..., Any] = value
    return function


def _module(place: str, where: str) -> ModuleType:
    """The module of this name, or of this file."""
    path = Path(place).expanduser()
    from_file = place.endswith(".py") or "/" in place
    if from_file and not path.is_file():
        todo = "Name a file, seen from the current folder, or a module that can be imported."
        raise UserError(where, f"there is no file {place}", todo)
    try:
        if from_file:
            return _read(path.resolve())
        with _looking_in(Path.cwd()):
            return importlib.import_module(place)
    except (Exception, SystemExit) as error:  # a script that was not meant to be imported
        if isinstance(error, ModuleNotFoundError) and (error.name or "") in _parents(place):
            problem = f'there is no module "{error.name}"'
            todo = "Install it, run where it lies, or name its file: path/to/file.py:function."
            raise UserError(where, problem, todo) from None
        problem = f"importing {place} raised {type(error).__name__}: {error}"
        raise UserError(where, problem, "Mend the file.") from error


def _parents(module: str) -> list[str]:
    """A module's name and those of the packages around it."""
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _read(path: Path) -> ModuleType:
    """The module in a file; read once, and again when the file has changed."""
    stamp = f"{path}\0{path.stat().st_mtime_ns}"
    name = _FILES + hashlib.sha256(stamp.encode()).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "the name ends with .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _looking_in(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _looking_in(folder: Path) -> Iterator[None]:
    """Modules are looked for in this folder as well, last of all places."""
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
