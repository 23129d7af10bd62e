"""Folders: links, hidden and unreadable files, pipes, names that do harm, odd shapes of trees."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image

from corpus import sounds
from corpus.case import Case, Ended, fit
from corpus.pictures import FIT, PNG, folder
from trainwell.data.read import read

EVIL = "<img src=x onerror=alert(1)>"


def then(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    """The good folder p, changed by steps that are given its path."""

    def make(place: Path) -> None:
        root = folder(place)
        for step in steps:
            step(root)

    return make


def add(name: str | bytes, content: bytes = PNG) -> Callable[[Path], object]:
    """One more file below the folder."""

    def step(root: Path) -> None:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    return step


def rows(
    count: int,
    skipped: tuple[str, ...] = (),
    classes: tuple[str, ...] = ("left", "up"),
    note: str = "",
) -> Callable[[Ended], None]:
    def look(ended: Ended) -> None:
        data = read(ended.folder / "p")
        assert (len(data), data.classes) == (count, classes)
        assert tuple(item.where for item in data.skipped) == skipped
        assert any(note in said for said in data.notes) or not note

    return look


def page_is_harmless(ended: Ended) -> None:
    page = (ended.folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page


def bind(root: Path) -> None:
    """A socket with the name of a picture."""
    here = Path.cwd()
    os.chdir(root / "left")
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("x.png")
    finally:
        os.chdir(here)


def moved(root: Path) -> None:
    shutil.move(root / "up", root.parent / "elsewhere")
    (root / "up").symlink_to(root.parent / "elsewhere")


def denying(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`real`, but refused for what is called `name`, as for a user without the permission."""

    def open_or_not(path: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(path, int) and os.path.basename(os.fspath(path)) == name:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path, *args, **options)

    return open_or_not


def many_classes(place: Path) -> None:
    for i in range(1001):
        (place / "p" / f"c{i}").mkdir(parents=True)
        (place / "p" / f"c{i}" / "x.png").write_bytes(PNG)


def emptied(place: Path) -> None:
    (place / "p").mkdir()


def in_parts(root: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(root, root.parent / "q" / part)
    shutil.rmtree(root)
    (root.parent / "q").rename(root)
    for path in (root / "test").rglob("*.png"):
        with PIL.Image.open(path) as image:
            turned = image.rotate(180)
        turned.save(path)


def skip(
    name: str,
    *steps: Callable[[Path], object],
    where: str,
    why: str,
    left: int = 20,
    patches: tuple[tuple[str, Any], ...] = (),
) -> Case:
    """One thing is listed as skipped, the others are read."""
    seen = None if patches else rows(left, (where,))
    return Case(name, then(*steps), FIT, "skip", (f"skipped {where}", why), seen, patches=patches)


def fine(name: str, *steps: Callable[[Path], object], seen: Callable[[Ended], object]) -> Case:
    return Case(name, then(*steps), FIT, "fine", seen=seen)


CASES = [
    skip("a link in a circle", lambda r: (r / "left" / "loop").symlink_to(r), where="left/loop",
         why="link to a folder"),
    skip("a link to itself", lambda r: (r / "left" / "x.png").symlink_to("x.png"),
         where="left/x.png", why="cannot be read"),
    skip("a link to nothing", lambda r: (r / "left" / "x.png").symlink_to("gone"),
         where="left/x.png", why="No such file"),
    skip("a link to a device without end", lambda r: (r / "left" / "x.png").symlink_to("/dev/zero"),
         where="left/x.png", why="no file"),
    skip("a link out of the folder to text", lambda r: (r / "left" / "x.png").symlink_to("/etc/passwd"),
         where="left/x.png", why="cannot be read as a picture"),
    skip("a pipe", lambda r: os.mkfifo(r / "left" / "x.png"), where="left/x.png", why="pipe"),
    skip("a socket", bind, where="left/x.png", why="no file"),
    skip("a file beside the classes", add("x.png"), where="x.png", why="folder of a class"),
    skip("a file without ending", add("left/x"), where="left/x", why="does not end in"),
    skip("an unreadable file", add("left/x.png"), where="left/x.png", why="Permission denied",
         patches=(("PIL.Image.open", denying(PIL.Image.open, "x.png")),)),
    skip("an unreadable folder", add("locked/x.png"), where="locked", why="Permission denied",
         patches=(("os.scandir", denying(os.scandir, "locked")),)),
    skip("a name of two lines", add("left/a\nb.png", b"x"), where="left/a\\nb.png", why="cannot"),
    skip("a name that clears the screen", add("left/\x1b[2J.png", b"x"), where="left/\\x1b[2J.png",
         why="cannot"),
    skip("a name that turns the line around", add("left/\u202egnp.png", b"x"),
         where="left/\\u202egnp.png", why="cannot"),
    skip("a name that is no text", add(b"left/\xff\xfe.png", b"x"), where="left/\\udcff\\udcfe.png",
         why="cannot"),
    skip("a name of html", add("left/<b>.png", b"x"), where="left/<b>.png", why="cannot"),
    Case("a link for a class", then(moved), FIT, "error", ("p", "two classes")),
    fine("a link to a file", lambda r: (r / "left" / "x.png").symlink_to(r / "left" / "01.png"),
         seen=rows(21)),
    fine("hidden files", add("left/.x.png", b"x"), add(".git/x.png"), add("__MACOSX/left/x.png"),
         seen=rows(20)),
    fine("a folder called like a picture", lambda r: (r / "left" / "x.png").mkdir(), seen=rows(20)),
    fine("an empty class", lambda r: (r / "none").mkdir(), seen=rows(20, note="holds no usable file")),
    fine("a class of html", lambda r: (r / "up").rename(r / EVIL), seen=page_is_harmless),
    fine("a class of two lines", lambda r: (r / "up").rename(r / "u\np"),
         seen=rows(20, classes=("left", "u\\np"))),
    fine("a class that is no text", lambda r: os.rename(os.fsencode(r / "up"), os.fsencode(r) + b"/\xff"),
         seen=rows(20, classes=("\\udcff", "left"))),
    fine("a class of one picture", add("one/x.png"), seen=rows(21, classes=("left", "one", "up"))),
    fine("a hundred levels", add("left/" + "d/" * 100 + "x.png"), seen=rows(21)),
    fine("a name as long as can be", add("left/" + "x" * 250 + ".png"), seen=rows(21)),
    fine("emoji and spaces", add("left/🌳 a b.png"), seen=rows(21)),
    fine("train and test", in_parts, seen=lambda ended: ended.result["test"]["n"] == 20),
    Case("a class of the test part alone", then(in_parts, add("test/new/x.png")), FIT, "error",
         ("new", "training part")),
    Case("nothing", emptied, FIT, "error", ("p", "found none")),
    Case("one class", lambda place: shutil.rmtree(folder(place) / "up"), FIT, "error",
         ("p", "two classes", "left")),
    Case("a thousand and one classes", many_classes, FIT, "error", ("p", "1000 classes", "1001")),
    Case("no classes at all", lambda place: [(place / "p").mkdir(), (place / "p" / "x.png").write_bytes(PNG)],
         FIT, "error", ("p", "one folder per class")),
    Case("clips in pipes", lambda place: os.mkfifo(sounds.folder(place) / "high" / "x.wav"),
         sounds.FIT, "skip", ("skipped high/x.wav", "pipe")),
    Case("an array in a pipe", lambda place: [(place / "p").mkdir(), os.mkfifo(place / "p" / "X.npy")],
         FIT, "error", ("p",)),
    Case("a full folder for the run", then(add("../run/x", b"x")), FIT, "error", ("run", "not empty")),
    Case("a file for the run's folder", then(add("../run", b"x")), FIT, "error", ("run", "cannot be written")),
    Case("a folder below a file", then(add("../f", b"x")), (*FIT[:2], "--out", "f/g"), "error",
         ("f/g", "cannot be written")),
    Case("a pattern without fields", folder, fit("p", "--pattern", "x"), "error", ("pattern", "braces")),
    Case("a pattern with a field twice", folder, fit("p", "--pattern", "{a}_{a}"), "error", ("twice",)),
    Case("a pattern that fits nothing", folder, fit("p", "--pattern", "{label}_{x}_{y}"), "error",
         ("{label}_{x}_{y}",)),
    Case("a pattern of regular expressions", folder, fit("p", "--pattern", "(.*)*{label}$"), "error",
         ("(.*)*{label}$",)),
    Case("a test part that is not there", folder, fit("p", "--test", "gone"), "error", ("gone",)),
    Case("a test part of another kind", then(lambda r: sounds.folder(r.parent)), fit("p", "--test", "s"),
         "error", ("s", "images")),
    Case("pictures said to be sound", folder, fit("p", "--kind", "audio"), "error", ("p", "found none")),
    Case("files of the wrong kind", then(lambda r: [f.rename(f.with_suffix(".heic")) for f in r.rglob("*.png")]),
         FIT, "error", ("p", "found none")),
]  # fmt: skip
