"""What an HTML page would do in a browser, as far as names from data could change it."""

from __future__ import annotations

from html.parser import HTMLParser


class _Parts(HTMLParser):
    """Counts scripts; lists everything else that runs, loads or sends."""

    LOADS = ("iframe", "object", "embed", "base", "form", "link", "meta")

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.harm = 0, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag in self.LOADS and not (tag == "meta" and {n for n, _ in attrs} <= OUR_META):
            self.harm.append(f"<{tag}>")
        for name, value in attrs:
            outside = name in ("src", "href", "xlink:href", "action", "srcdoc") and not (
                value or ""
            ).startswith(("data:image/", "#"))
            if name.startswith("on") or outside:
                self.harm.append(f'{tag} {name}="{value}"')


OUR_META = {"charset", "name", "content"}


def scripts_and_harm(page: str) -> tuple[int, list[str]]:
    """How many scripts a page has, and what else in it would run code or reach outside."""
    found = _Parts()
    found.feed(page)
    found.close()
    return found.scripts, found.harm
