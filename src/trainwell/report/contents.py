"""The table of contents of a page: links to its sections, which work without JavaScript."""

from __future__ import annotations

import re

PLACE = "<!-- contents -->"  # where a template wants it
LEAST = 4  # sections from which on a page needs one
_SECTION = re.compile(r'<section id="([a-z-]+)">\s*<h2>([^<]*)</h2>')


def with_contents(page: str) -> str:
    """The page with links to its sections at PLACE; titles are markup already.

    >>> with_contents(PLACE + '<section id="a"><h2>A</h2>')
    '<section id="a"><h2>A</h2>'
    """
    found = _SECTION.findall(page)
    links = "\n".join(f'<a href="#{name}">{title}</a>' for name, title in found)
    shown = f'<nav class="contents" aria-label="Contents">\n{links}\n</nav>'
    return page.replace(PLACE, shown if len(found) >= LEAST else "", 1)
