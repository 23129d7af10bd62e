"""The site: every technique and rule has a page, pages are well-formed, the navigation is whole."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from trainwell.catalogue import catalogue
from trainwell.doctor.diagnose import RULES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    place = ROOT / "docs" / "hooks" / "pages.py"
    spec = importlib.util.spec_from_file_location("site_pages", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(hooks: ModuleType) -> dict[str, str]:
    found: dict[str, str] = hooks.generated()
    return found


def test_every_technique_and_every_rule_has_a_page(pages: dict[str, str]) -> None:
    for entry in catalogue():
        page = pages[f"techniques/{entry.family}-{entry.name}.md".lower()]
        assert page.startswith(f"# {entry.name}\n") and len(page) > 120
    for rule in RULES:
        page = pages[f"rules/{rule.name}.md"]
        for heading in ("What it sees", "Why it matters", "When it is wrong"):
            assert f"**{heading}.**" in page, rule.name


def test_code_blocks_are_closed_and_links_lead_somewhere(pages: dict[str, str]) -> None:
    docs = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    for path, text in pages.items():
        if path == "changes.md":
            continue
        assert len(re.findall(r"^```", text, flags=re.M)) % 2 == 0, path
        prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
        for target in re.findall(r"(?<!\\)\]\(([\w./-]+\.md)\)", prose):
            if target.startswith("benchmarks/"):
                assert (ROOT / target).is_file(), target
                continue
            place = Path(path).parent / target
            parts: list[str] = []
            for part in place.parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in docs | set(pages), f"{path} -> {target}"


def test_names_with_underscores_and_angles_are_shown_as_they_are(hooks: ModuleType) -> None:
    assert hooks.escaped("a_b <c> `d_e` * f") == r"a\_b \<c\> `d_e` \* f"


def test_the_navigation_names_every_page(pages: dict[str, str]) -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"([\w/-]+\.md)", text))
    docs = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert named <= docs | set(pages)
    listed = {d for d in docs if "/" not in d}
    assert listed <= named, f"not in the navigation: {listed - named}"


def test_the_captions_of_the_lecture_say_what_the_claims_found() -> None:
    text = (ROOT / "docs" / "deck-map.md").read_text(encoding="utf-8")
    captions = re.findall(r"^\*`(\w+)`: (.*): ([\w ]+)\.\*$", text, flags=re.M)
    assert len(captions) >= 20
    for name, says, verdict in captions:
        found = json.loads((ROOT / "docs" / "claims" / f"{name}.json").read_text(encoding="utf-8"))
        assert (says, verdict) == (found["says"], found["verdict"]), name
        assert f"(claims/{name}.svg)" in text
