"""The page of a tried claim, and the summary of all that were tried."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwell.claims.lab import Finding, to_json
from trainwell.claims.pictures import picture
from trainwell.claims.words import contrast_words, told
from trainwell.errors import UserError
from trainwell.files import write_whole
from trainwell.report.figures import both
from trainwell.report.page import environment

Json = Mapping[str, Any]


def write_finding(finding: Finding, folder: Path, facts: Json | None = None) -> Path:
    """NAME.json, NAME.svg and NAME.html in a folder; returns the page's path."""
    found = dict(facts or {}) | to_json(finding)
    name = finding.claim.name
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.json", (json.dumps(found, indent=1) + "\n").encode())
    write_whole(folder / f"{name}.svg", alone(finding).encode())
    path = folder / f"{name}.html"
    write_whole(path, page(finding).encode())
    return path


def page(finding: Finding) -> str:
    """The page as text; everything that comes from data is escaped."""
    from markupsafe import Markup

    claim, chosen = finding.claim, finding.measured.chosen or {}

    def draw(name: str, width: float) -> str:
        return picture(finding, name, width)

    return (
        environment()
        .get_template("claim.html")
        .render(
            found=to_json(finding),
            picture=Markup(both(draw, "claim")),
            contrasts=[
                {
                    "says": o.contrast.says or contrast_words(o.contrast),
                    "role": o.contrast.role,
                    "told": told(o.contrast, o.estimate),
                    "p": o.p,
                    "state": o.state,
                }
                for o in finding.decision.outcomes
            ],
            arms=[
                {
                    "name": a.name,
                    "says": a.says,
                    "set": _settings(a.set),
                    "chosen": _settings(chosen.get(a.name, {})),
                }
                for a in claim.arms
            ],
            recipe=_settings(claim.recipe),
        )
    )


def _settings(values: Mapping[str, str]) -> str:
    return "; ".join(f"{k}={v}" for k, v in values.items())


def alone(finding: Finding) -> str:
    """The picture as a file of its own, with the colours of the page."""
    from importlib.resources import files

    css = (files("trainwell.report") / "templates" / "style.css").read_text(encoding="utf-8")
    drawn = picture(finding, "claim", 720)
    head = '<svg xmlns="http://www.w3.org/2000/svg"'
    opened, rest = drawn.split(">", 1)
    return f"{opened.replace('<svg', head, 1)}><style>{css}</style>{rest}\n"


def read_findings(folder: Path) -> list[dict[str, Any]]:
    """What lies in a folder as NAME.json, slide by slide. Raises UserError where there is none."""
    from trainwell.claims.claim import all_claims

    order = {c.name: i for i, c in enumerate(all_claims())}
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(str(path), f"cannot be read ({error})") from None
        if isinstance(content, dict) and {"name", "verdict", "sentence"} <= set(content):
            found.append(content)
    if not found:
        problem = "holds no results of claims"
        raise UserError(str(folder), problem, "Try one first: trainwell claims run --all")
    return sorted(found, key=lambda f: order.get(f["name"], len(order)))


def summary_markdown(found: Sequence[Json], pictures: bool = True) -> str:
    """One page of all results: the table of verdicts, then claim by claim."""
    text = "# The claims of the lecture, tried\n\n"
    conditions = [f["conditions"] for f in found if f.get("conditions")]
    if conditions:
        text += f"{conditions[0]}.\n\n"
    text += table_markdown(found) + "\n"
    slide = ""
    for f in found:
        if f["slide"] != slide:
            slide = f["slide"]
            text += f"\n## {slide}\n"
        text += f"\n### “{_flat(f['sentence'])}” {f['verdict']}\n\n{_flat(f['paragraph'])}\n"
        if f.get("footnote"):
            text += f"\n*Footnote.* {_flat(f['footnote'])}\n"
        if f.get("settle"):
            text += f"\nWhat would settle it: {_flat(f['settle'])}.\n"
        if pictures:
            text += f"\n![{_flat(f['says'])}]({f['name']}.svg)\n"
        text += f"\n`trainwell claims run {f['name']}`: {_flat(f['rule'])}\n"
    return text


def write_summary(found: Sequence[Json], folder: Path) -> list[Path]:
    """index.html and README.md in the folder of the results; returns their paths."""
    index, text = folder / "index.html", folder / "README.md"
    page = environment().get_template("claims.html").render(found=found)
    write_whole(index, page.encode())
    write_whole(text, summary_markdown(found).encode())
    return [index, text]


def deciding(found: Json) -> Json:
    """The contrast that a verdict hangs on: one that failed, one that is open, or the first."""
    primary: list[Json] = [c for c in found["contrasts"] if c["role"] == "primary"]
    wanted = {"refuted": "fails", "not decided": "open"}.get(found["verdict"], "holds")
    return next((c for c in primary if c["state"] == wanted), primary[0])


def put_table(found: Sequence[Json], path: Path) -> None:
    """Replace what stands between the two marks in a Markdown file by the table of verdicts."""
    begin, end = "<!-- claims -->\n", "<!-- end of claims -->"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"cannot be read ({error})") from None
    if begin not in text or end not in text.split(begin, 1)[1]:
        todo = f"Put the lines {begin.strip()} and {end} where the table shall stand."
        raise UserError(str(path), "has no place for the table", todo)
    head, rest = text.split(begin, 1)
    lines = ["| claim | verdict |", "|---|---|"]
    lines += [f"| {_flat(f['says'])} | {f['verdict']} |" for f in found]
    table = "\n".join(lines)
    write_whole(path, f"{head}{begin}{table}\n{end}{rest.split(end, 1)[1]}".encode())


def table_markdown(found: Sequence[Json]) -> str:
    """The table of verdicts."""
    lines = ["| claim | data | verdict | what was measured |", "|---|---|---|---|"]
    for f in found:
        shown = deciding(f)
        seen = f"{shown['says'] or shown['name']}: {shown['told']}"
        lines.append(
            f"| {_flat(f['says'])} | {_flat(f['data'])} | {f['verdict']} | {_flat(seen)} |"
        )
    return "\n".join(lines) + "\n"


def _flat(text: str) -> str:
    """Text for one line of Markdown, in which nothing from data can open a tag."""
    return " ".join(str(text).split()).replace("|", "/").replace("<", "&lt;")
