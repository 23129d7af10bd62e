"""Models and runs: truncated, tampered with, of another version, mixed up; and what they are given."""

from __future__ import annotations

import functools
import json
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from corpus.case import QUICK, Case, Ended, run
from corpus.tables import GOOD, HEADER, put, text
from helpers.pages import scripts_and_harm


@functools.cache
def once() -> Path:
    """A run on the good table, trained once."""
    place = Path(tempfile.mkdtemp(prefix="trainwell-corpus-"))
    put(text())(place)
    assert run(("fit", "t.csv", *QUICK), place).code == 0
    return place


def trained(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    """The run as `done` beside its table, changed by steps that are given the run's folder."""

    def make(folder: Path) -> None:
        shutil.copytree(once() / "run", folder / "done")
        put(text())(folder)
        for step in steps:
            step(folder / "done")

    return make


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def cut(name: str, share: float) -> Callable[[Path], object]:
    def step(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])

    return step


def flip(name: str, at: int) -> Callable[[Path], object]:
    def step(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 64
        (folder / name).write_bytes(bytes(data))

    return step


def card(
    change: Callable[[Any], object], name: str = "model/model.json"
) -> Callable[[Path], object]:
    """A JSON file with a change."""

    def step(folder: Path) -> None:
        content = json.loads((folder / name).read_text("utf-8"))
        change(content)
        (folder / name).write_text(json.dumps(content), "utf-8")

    return step


def recipe(field: str, value: str) -> Callable[[Path], object]:
    return card(lambda c: c["networks"][0]["recipe"].update({field: value}))


class Evil:
    """Unpickled, it would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("ran"), "yes")


def not_run(ended: Ended) -> None:
    assert not (ended.folder / "ran").exists()


def torch_file(folder: Path) -> None:
    torch.save({"x": torch.zeros(3)}, folder / WEIGHTS)


WEIGHTS, CARD = "model/weights.safetensors", "model/model.json"
PREDICT = ("predict", "done", "t.csv")


def model(name: str, *steps: Callable[[Path], object], says: str = "") -> Case:
    return Case(name, trained(*steps), PREDICT, "error", ("done", says), not_run)


def given(name: str, content: str | bytes, *says: str, file: str = "new.csv") -> Case:
    """The good model asked about an input that it cannot take."""
    make = trained(lambda done: put(content, file)(done.parent))
    return Case(name, make, ("predict", "done", file), "error", says)


def verb(name: str, command: str, *steps: Callable[[Path], object], says: tuple[str, ...]) -> Case:
    return Case(name, trained(*steps), (command, "done"), "error", says)


def begun(name: str, *says: str, **files: str | bytes) -> Case:
    """`resume` of a folder with such files in its checkpoint folder."""

    def make(folder: Path) -> None:
        put(text())(folder)
        (folder / "b" / "checkpoint").mkdir(parents=True)
        for file, content in files.items():
            put(content, file.replace("_", "."))(folder / "b" / "checkpoint")

    return Case(name, make, ("resume", "b"), "error", says, not_run)


def page_is_harmless(ended: Ended) -> None:
    page = (ended.folder / "done" / "report.html").read_text(encoding="utf-8")
    assert scripts_and_harm(page) == (1, [])


DEEP = "[" * 100_000
SCRIPT = "<script>alert(1)</script>"
REQUEST = '{"format": 1, "source": "t.csv"'
TABLE = text(GOOD[:3], HEADER)
CASES = [
    Case("a good model", trained(), ("predict", "done", "t.csv"), "fine",
         ("line 2", "right where")),
    model("half of the weights", cut(WEIGHTS, 0.5), says="damaged"),
    model("weights without the last byte", cut(WEIGHTS, 0.9999), says="damaged"),
    model("no byte of weights", write(WEIGHTS, b""), says="damaged"),
    model("no weights", remove(WEIGHTS), says="damaged"),
    model("a flipped bit in the weights", flip(WEIGHTS, -40), says="damaged"),
    model("a flipped bit in the header of the weights", flip(WEIGHTS, 20), says="damaged"),
    model("weights that promise 2^63 bytes", write(WEIGHTS, b"\xff" * 8 + b"{}"), says="damaged"),
    model("a pickle for weights", write(WEIGHTS, pickle.dumps(Evil())), says="damaged"),
    model("a file of torch for weights", torch_file, says="damaged"),
    model("no card", remove(CARD), says="model.json"),
    model("half of the card", cut(CARD, 0.5), says="damaged"),
    model("no byte of the card", write(CARD, b""), says="damaged"),
    model("a card of bytes", write(CARD, b"\xff\xfe\x00"), says="damaged"),
    model("a card of deep brackets", write(CARD, DEEP), says="damaged"),
    model("a list for a card", write(CARD, "[]"), says="damaged"),
    model("a card with one more space", lambda d: write(CARD, (d / CARD).read_text() + " ")(d),
          says="damaged"),
    model("another version", card(lambda c: c.update(format=99)), says="format 99"),
    model("a version in words", card(lambda c: c.update(format="1")), says="format"),
    model("another class", card(lambda c: c["classes"].append("elm")), says="damaged"),
    model("classes renamed", card(lambda c: c.update(classes=["oak", "ash"])), says="damaged"),
    model("no networks", card(lambda c: c.update(networks=[])), says="damaged"),
    model("a fold that is not there", card(lambda c: c["networks"][0].update(fold=7)), says="damaged"),
    model("a fold in words", card(lambda c: c["networks"][0].update(fold="x")), says="damaged"),
    model("a wider network", recipe("model", "Mlp(hidden=(65, 64))"), says="damaged"),
    model("a network of a terabyte", recipe("model", "Mlp(hidden=(500000, 500000))"), says="damaged"),
    model("a network of another kind", recipe("model", "Linear()"), says="damaged"),
    model("a network of pictures", recipe("model", "Cnn()"), says="damaged"),
    model("a recipe that is none", recipe("model", "Mlp(hiden=3)"), says="cannot be understood"),
    model("code in the recipe", recipe("model", "__import__('os').system('true')"), says="cannot be"),
    model("a network of one's own", recipe("model", "Custom('nets.py:build')"), says="--trust"),
    model("a layer that is none", card(lambda c: c["folds"][0][0].update(layer="os.system")),
          says="damaged"),
    model("a layer without options", card(lambda c: c["folds"][0].__setitem__(0, {})), says="damaged"),
    model("a schema that is none", card(lambda c: c.update(schema={"kind": "video"})), says="damaged"),
    model("a schema of no columns", card(lambda c: c["schema"].update(columns=[])), says="damaged"),
    Case("a model that is a file", lambda f: [put(text())(f), put("x", "done")(f)], PREDICT, "error",
         ("done", "model.json")),
    Case("a model that is not there", put(text()), PREDICT, "error", ("done", "model.json")),
    given("a column too few", "a\n1\n", '"b"', "new.csv"),
    given("a column too many", TABLE.replace("class", "extra"), '"extra"'),
    given("a word for a number", "a,b\n1,2\n3,x\n", "new.csv, line 3", '"x"', 'column "b"'),
    given("an infinite number", "a,b\n1,2\n3,inf\n", "new.csv, line 3", 'column "b"'),
    given("a number larger than singles go", "a,b\n1,2\n3,1e300\n", "new.csv, line 3", 'column "b"'),
    given("nothing", "", "new.csv", "empty"),
    given("a header and no rows", "a,b\n", "new.csv", "rows"),
    given("a picture", b"\x89PNG\r\n\x1a\n", "new.png", file="new.png"),
    given("a pickled array", pickle.dumps(Evil()), "new.npy", file="new.npy"),
    Case("classes that are new", trained(lambda d: put(TABLE.replace("oak", "elm"), "n.csv")(d.parent)),
         ("predict", "done", "n.csv"), "fine", ("line 2",)),
    verb("a run that is no json", "report", write("run.json", "{"), says=("run.json",)),
    verb("a run of deep brackets", "report", write("run.json", DEEP), says=("run.json",)),
    verb("a run that is a list", "report", write("run.json", "[1]"), says=("run.json",)),
    verb("a run of wrong types", "report", card(lambda c: c.update(test=3, findings="x"), "run.json"),
         says=("run.json", "damaged")),
    Case("a confusion of words", trained(card(lambda c: c.update(confusion=SCRIPT), "run.json")),
         ("report", "done"), "fine", seen=page_is_harmless),
    verb("no run", "report", remove("run.json"), says=("no finished run",)),
    verb("pictures that are pickled", "report", write("examples.npz", pickle.dumps(Evil())),
         says=("examples.npz", "damaged")),
    verb("bytes for a history", "report", write("history.csv", b"\xff\xfe\x00"),
         says=("history.csv", "damaged")),
    Case("names of html in a run", trained(card(lambda c: c.update(
        name=SCRIPT, classes=[SCRIPT, "x onerror="], command=SCRIPT, notes=[SCRIPT]), "run.json")),
        ("report", "done"), "fine", seen=page_is_harmless),
    verb("a diagnosis of no json", "diagnose", write("run.json", "{"), says=("run.json",)),
    verb("a diagnosis of half a run", "diagnose", card(lambda c: c.pop("members"), "run.json"),
         says=("run.json", "damaged")),
    verb("a diagnosis of no history", "diagnose", write("history.csv", "x"), says=("history.csv",)),
    verb("a diagnosis of 10^15 epochs", "diagnose",
         write("history.csv", "member,epoch,train_loss\n0,1000000000000000,1\n"), says=("history.csv",)),
    verb("a diagnosis of pickled predictions", "diagnose", write("oof.npz", pickle.dumps(Evil())),
         says=("oof.npz",)),
    verb("a diagnosis of another recipe", "diagnose", write("recipe.toml", 'model = "X()"'),
         says=("recipe.toml",)),
    verb("a diagnosis of checks that are none", "diagnose", write("doctor.json", '{"race": 3}'),
         says=("doctor.json",)),
    begun("a run that never began", "no run that could go on"),
    begun("a request that is no json", "request.json", request_json="{"),
    begun("a request of deep brackets", "request.json", request_json=DEEP),
    begun("a request of another version", "another version", request_json='{"format": 7}'),
    begun("a request with an unknown field", "request.json", request_json=REQUEST + ', "x": 1}'),
    begun("a request that is a list", "request.json", request_json="[]"),
    begun("a request of wrong types", "request.json",
          request_json=REQUEST + ', "folds": "many", "seeds": []}'),
    begun("a request of settings that are none", 'no field "x"',
          request_json=REQUEST + ', "settings": {"lr": [1], "x": {}}}'),
    begun("a state that is none", "state.json", request_json=REQUEST + "}", state_json="[]"),
    begun("a request that names code", "--trust",
          request_json=REQUEST + ', "trust": true, "settings": {"model": "Custom(\'n.py:f\')"}}'),
]  # fmt: skip
