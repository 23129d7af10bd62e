"""Each picture of a report as a file of its own, for slides: SVG, or PNG by resvg (an extra)."""

from __future__ import annotations

import base64
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from trainwell.errors import UserError
from trainwell.report import figures
from trainwell.report.page import read_examples, read_history, read_probes

PARTS = ("train", "val", "test", "muted", "right", "wrong")
ZOOM = 3  # pixels of a PNG per CSS pixel: sharp on a projector


def write_pictures(run: Path, out: Path, form: Literal["svg", "png"]) -> list[Path]:
    """Write every picture of the run's report into the folder `out`; returns the files.

    Colours are those of the light page, on a transparent ground (SVG) or on white (PNG). The sheet
    of examples is a PNG either way. Raises UserError where PNGs are wanted and resvg is missing.
    """
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    drawn = figures.all_figures(
        facts,
        read_history(run / "history.csv"),
        read_examples(run),
        read_probes(run / "probes.csv"),
    )
    out.mkdir(parents=True, exist_ok=True)
    style, written = standalone_style(), []
    for name, picture in drawn.items():
        if name == "sheet":
            path = out / "examples.png"
            path.write_bytes(base64.b64decode(picture["source"].split(",", 1)[1]))
        else:
            alone = standalone(str(picture), style)
            path = out / f"{name}.{form}"
            if form == "svg":
                path.write_text(alone, encoding="utf-8")
            else:
                path.write_bytes(_png(alone))
        written.append(path)
    return written


def standalone(markup: str, style: str) -> str:
    """The first SVG in some markup with size, name space and style, so that any program shows it.

    Hidden lines (single networks) and the areas that only catch the pointer are left out.
    """
    found = re.search(r"<svg .*?</svg>", markup, flags=re.S)
    if found is None:
        raise ValueError("there is no picture in the markup")
    svg = re.sub(r'<path class="line single [^>]*/>', "", found[0])
    svg = re.sub(r'<rect class="hit"[^>]*?(?:/>|>.*?</rect>)', "", svg, flags=re.S)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    size = f' width="{box[1]}" height="{box[2]}"' if box else ""
    return svg.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg"{size} ', 1).replace(
        "<title", f"<style>{style}</style><title", 1
    )


def standalone_style() -> str:
    """The rules for pictures from the page's style, without variables, which few programs know.

    A rule that uses the colour of a part, var(--c), becomes one rule per part.
    """
    css = (files("trainwell.report") / "templates" / "style.css").read_text(encoding="utf-8")
    root = dict(re.findall(r"--([\w-]+): ([^;]+);", css.split("@media")[0]))
    rules = re.findall(r"^(\.plot[^{]*)\{([^{}]*)\}", css, flags=re.M)
    colours: dict[str, str] = {}
    for selectors, body in rules:
        if given := re.search(r"--c: ([^;]+);", body):
            for part in re.findall(r"\.plot \.(\w+)", selectors):
                colours[part] = _resolved(given[1], root)
    lines = []
    for selectors, body in rules:
        if "--c:" in body or "cursor" in body:
            continue
        wanted = [s.strip().removeprefix(".plot").strip() or "svg" for s in selectors.split(",")]
        if "var(--c)" not in body:
            lines.append(f"{','.join(wanted)}{{{_resolved(body, root)}}}")
            continue
        for part, colour in colours.items():
            own = [s if s == f".{part}" else f"{s}.{part}" for s in wanted]
            own = [s for s in own if s.count(".") == 2 or s == f".{part}"]
            lines.append(f"{','.join(own)}{{{_resolved(body, root | {'c': colour})}}}")
    return "".join(lines)


def _resolved(body: str, values: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return values[match[1]]

    return re.sub(r"var\(--([\w-]+)\)", value, body).strip()


def _png(svg: str) -> bytes:
    resvg: Any
    try:
        import resvg_py as resvg
    except Exception as error:  # an extra that is broken must not look like our bug
        todo = "pip install 'trainwell[plots]', or take --svg."
        raise UserError("--png", f"needs the package resvg-py ({error})", todo) from None
    found: bytes = resvg.svg_to_bytes(
        svg_string=svg, background="#ffffff", zoom=ZOOM, sans_serif_family="DejaVu Sans"
    )
    return bytes(found)
