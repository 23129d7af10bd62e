"""Histories of other programs that `diagnose` reads."""

from __future__ import annotations

from corpus.case import Case, Ended
from corpus.tables import put

DIAGNOSE = ("diagnose", "h.csv")
ROWS = "".join(f"{i},{1 / (i + 1):.3f},{1 / (i + 2):.3f}\n" for i in range(20))
GOOD = "epoch,loss,val_loss\n" + ROWS


def error(name: str, content: str | bytes, *says: str) -> Case:
    return Case(name, put(content, "h.csv"), DIAGNOSE, "error", ("h.csv", *says))


def fine(name: str, content: str | bytes, *says: str) -> Case:
    def no_traceback(ended: Ended) -> None:
        assert ended.out

    return Case(name, put(content, "h.csv"), DIAGNOSE, "fine", says, no_traceback)


CASES = [
    error("empty", "", "empty"),
    error("a mark of the encoding alone", b"\xff\xfe", "empty"),
    error("zero bytes alone", b"a" * 0 + "\0\0".encode("utf-16"), "empty"),
    error("bytes", bytes(range(256)), "bytes"),
    error("a header only", "epoch,loss\n", "row per epoch"),
    error("no header", "1,2\n3,4\n", "names of columns"),
    error("no losses", "a,b\n1,2\n", "loss"),
    error("a list of numbers", "[1, 2]", "loss"),
    error("deep brackets", "[" * 100_000, "JSON"),
    error("half an object", '{"loss": [1, 2', "JSON"),
    fine("a good history", GOOD),
    fine("a last line cut off", GOOD[:-5]),
    fine("losses of words", GOOD + "20,high,low\n"),
    fine("losses that are none", GOOD + "20,nan,nan\n"),
    fine("losses without end", GOOD + "20,1e999,inf\n"),
    fine("enormous losses", GOOD + "20,1e308,1e308\n"),
    fine("epochs out of order", "epoch,loss,val_loss\n3,1,1\n1,2,2\n2,1,1\n"),
    fine("epochs of 10^15", "epoch,loss,val_loss\n1,1,1\n1000000000000000,2,2\n"),
    fine("negative epochs", "epoch,loss,val_loss\n-1,1,1\n-2,2,2\n"),
    fine("utf-16", GOOD.encode("utf-16")),
    fine("a name of html", GOOD.replace("val_loss", "val_loss\x1b[2J")),
]
