"""The README tells the truth: its Python runs, its commands exist, its tree is complete."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import typer.core

from trainwell.catalogue import SLIDES, catalogue
from trainwell.recipe import Recipe, edit, parse_settings
from trainwell.techniques.models.pages import ACTIVATIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").rglob("*.md")))
DECK = (ROOT / "docs" / "deck-map.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


@pytest.mark.parametrize("code", [*blocks("python"), *blocks("python", DOCS)])
def test_python_of_the_readme_and_the_docs_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if re.search(r"^from (ray|dask)", code, flags=re.M):
        pytest.skip("needs a cluster: see tests/engine/test_ray.py")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


# A line of a table cannot hold a block: its commands and settings stand between backticks.
SETTINGS = sorted(set(re.findall(r'--set "([^"]+)"', DECK)))


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_deck_map_are_understood(setting: str) -> None:
    name, changes = setting.partition("=")[0], parse_settings([setting])
    assert getattr(edit(Recipe(), changes, "--set"), name) is not None


def test_the_deck_map_has_every_slide_and_every_technique() -> None:
    titles = " ".join(re.findall(r"^## (.*)$", DECK, flags=re.M))
    for slide in SLIDES:
        assert slide in titles, slide
    words = set(re.findall(r"[A-Za-z_0-9]+", DECK))
    missing = [e.name for e in catalogue() if e.name not in words]
    assert set(missing) <= set(ACTIVATIONS) | {"none"}  # "and six more"


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line[2:].split("#")[0].strip() for line in lines if line.startswith("$ trainwell")]


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_readme_exist(line: str) -> None:
    from trainwell.cli import app

    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    verb, *arguments = shlex.split(line)[1:]
    if verb == "--help":
        return
    command = group.commands[verb]
    command.make_context(verb, list(arguments))  # raises where an option does not exist


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 8


def test_every_dependency_has_its_why() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = README.split("## Dependencies")[1].split("## ")[0]
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=!~\[ ]", requirement)[0]
        assert re.search(rf"\b{re.escape(name)}\b", table), f"{name} is missing in the README"


def test_the_tree_names_every_module() -> None:
    tree = README.split("## The tree")[1]
    package = ROOT / "src" / "trainwell"
    for path in package.rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            assert path.name in tree, f"{path.relative_to(package)} is missing in the tree"
    for name in re.findall(r"\b(\w+\.py)\b", tree):
        assert list(package.rglob(name)) or (ROOT / name).exists(), f"{name} does not exist"


def test_no_gaps_are_left() -> None:
    assert "@@" not in README
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_public_names_are_complete_and_sorted() -> None:
    import trainwell

    assert set(trainwell.__all__) == set(trainwell._HOMES)
    for name in trainwell.__all__:
        assert callable(getattr(trainwell, name)), name
