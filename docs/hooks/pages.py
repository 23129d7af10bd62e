"""Pages of the site that are made from docstrings: every technique, every check and rule.

mkdocs calls `on_files` and `on_page_markdown`; the functions above them are plain.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = ("What it sees", "Why it matters", "Evidence", "When it is wrong", "Remedies", "Slide")
LABELS = re.compile(r"^(?=(?:Equations?|Shapes?|Sources?|Raises|Fields)\b[^:\n]*:)", flags=re.M)
SPECIAL = re.compile(r"([\\*_<>#|\[\]])")


def escaped(text: str) -> str:
    """Plain text as Markdown that shows it unchanged; code between backticks stays code."""
    return "".join(
        part if part.startswith("`") else SPECIAL.sub(r"\\\1", part)
        for part in re.split(r"(`[^`]+`)", text)
    )


def from_docstring(text: str) -> str:
    """A docstring as Markdown: paragraphs, indented lines as they stand, examples as code.

    >>> print(from_docstring("A line.\\n\\n>>> 1 + 1\\n2"))
    A line.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    blocks = []
    for block in LABELS.sub("\n", inspect.cleandoc(text)).split("\n\n"):
        lines = block.splitlines()
        if lines and lines[0].startswith(">>>"):
            blocks.append("\n".join(["```pycon", *lines, "```"]))
        elif lines and all(line.startswith(("    ", "\t")) or not line for line in lines):
            blocks.append("\n".join(["```text", *(line[4:] for line in lines), "```"]))
        else:
            blocks.append(escaped(block))
    return "\n\n".join(blocks)


def technique_pages() -> Iterator[tuple[str, str]]:
    """(path, Markdown) of each technique and of their list in the order of the slides."""
    from trainwell.catalogue import by_slide

    index = ["# Techniques", "Every technique of the lecture, in the order of its slides."]
    for slide, entries in by_slide().items():
        index.append(f"## {slide}")
        lines = ["| technique | family | what it does |", "|---|---|---|"]
        for e in entries:
            name = f"{e.family}-{e.name}".lower()
            lines.append(f"| [{e.name}]({name}.md) | {e.family} | {escaped(e.says)} |")
            signature, _, page = e.page.partition("\n\n")
            setting = (
                signature if signature.startswith(f"{e.family}=") else f"{e.family}={signature}"
            )
            parts = (
                f"# {e.name}",
                f"```text\n{signature}\n```",
                from_docstring(page),
                f'Switch it on: `trainwell fit DATA --set "{setting}"`',
            )
            yield f"techniques/{name}.md", "\n\n".join(parts) + "\n"
        index.append("\n".join(lines))
    yield "techniques/index.md", "\n\n".join(index) + "\n"


def rule_pages() -> Iterator[tuple[str, str]]:
    """(path, Markdown) of each rule of the doctor and of their list."""
    from trainwell.doctor.diagnose import RULES
    from trainwell.doctor.thresholds import THRESHOLDS

    limits = dataclasses.asdict(THRESHOLDS)
    lines = ["| code | problem | in a sentence |", "|---|---|---|"]
    for rule in RULES:
        text = inspect.getdoc(rule.rule) or ""
        says = text.split("\n\n")[0].replace("\n", " ")
        lines.append(f"| {rule.code} | [{rule.name}]({rule.name}.md) | {escaped(says)} |")
        for heading in HEADINGS:
            text = re.sub(rf"^{heading}:", f"**{heading}.**", text, flags=re.M)
        shown = re.sub(r"^(\*\*\w)", r"\n\1", text, flags=re.M)
        body = "\n\n".join(
            block if block.lstrip().startswith("**") else escaped(block)
            for block in re.split(r"\n\n+", shown)
        )
        title = f"{rule.name.replace('-', ' ')} ({rule.code})"
        named = [n for n in dict.fromkeys(re.findall(r"`(\w+)`", body)) if n in limits]
        numbers = "\n".join(f"| `{n}` | {limits[n]} |" for n in named)
        if numbers:
            body += f"\n\n| threshold | value |\n|---|---|\n{numbers}"
        yield f"rules/{rule.name}.md", f"# {title}\n\n{body}\n"
    head = "# Rules of the doctor\n\nWhat `trainwell diagnose` and every `fit` look for, causes "
    head += "before symptoms. Checks before training are in [the doctor's page](../doctor.md).\n\n"
    yield "rules/index.md", head + "\n".join(lines) + "\n"


def index_page() -> str:
    """The README as the first page, its links made to fit."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\(CHANGELOG\.md\)", "](changes.md)", re.sub(r"\]\(docs/", "](", text))


def generated() -> dict[str, str]:
    """Every page that is no file of docs/."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return {
        "index.md": index_page(),
        "changes.md": changes,
        **dict(technique_pages()),
        **dict(rule_pages()),
    }


def inside(markdown: str, folder: Path) -> str:
    """Links that leave docs/ become plain words: the site holds only docs/.

    >>> inside("see [results](../benchmarks/results.md)", Path())
    'see results (`benchmarks/results.md`)'
    """

    def plain(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        return f"{words} (`{target.lstrip('./')}`)"

    found = re.sub(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+(?!rules|doctor)[^)]+)\)", plain, markdown)
    return re.sub(r"(?<!!)\[([^\]]+)\]\(((?:benchmarks|src|examples|tests)/[^)]*)\)", plain, found)


def on_files(files: Any, config: Any) -> Any:
    """mkdocs: add the generated pages."""
    from mkdocs.structure.files import File

    for path, content in generated().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """mkdocs: mend links that leave the site."""
    if page.file.src_uri.startswith(("techniques/", "rules/")):
        return markdown
    return inside(markdown, Path(page.file.src_uri).parent)
