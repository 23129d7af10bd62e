"""Recipes and options: wrong types, absurd values, files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from corpus.case import Case, Ended, fit
from corpus.tables import put, text

CODE = "open('ran', 'w').write('yes')\n\n\ndef build(shape, classes):\n    return None\n"


def table(folder: Path) -> None:
    put(text())(folder)


def file(content: str | bytes) -> Callable[[Path], object]:
    """The good table and r.toml."""

    def make(folder: Path) -> None:
        table(folder)
        put(content, "r.toml")(folder)
        put(CODE, "nets.py")(folder)

    return make


def not_run(ended: Ended) -> None:
    assert not (ended.folder / "ran").exists()


def toml(name: str, content: str | bytes, *says: str) -> Case:
    """A recipe file that cannot be used; nothing of it is run."""
    where = ("r.toml", *says)
    return Case(name, file(content), fit("t.csv", "--recipe", "r.toml"), "error", where, not_run)


def setting(value: str, *says: str, name: str = "") -> Case:
    """A change on the command line that cannot be used."""
    return Case(name or value[:60], table, (*fit("t.csv")[:2], "--out", "run", "--budget", "2s",
                                            "--set", value), "error", says)  # fmt: skip


def option(*options: str, says: tuple[str, ...], name: str = "") -> Case:
    return Case(name or " ".join(options), table, fit("t.csv", *options), "error", says)


def quick(value: str) -> Case:
    """An absurd value that does no harm."""
    argv = ("fit", "t.csv", "--out", "run", "--budget", "12s", "--folds", "2", "--seeds", "1")
    rate = () if value.startswith("lr=") else ("--set", "lr=0.01")
    seen: Callable[[Ended], object] = lambda ended: ended.result["test"]["accuracy"]
    return Case(value, table, (*argv, "--no-ensemble", "--no-coach", "--set", value, *rate), "fine",
                seen=seen, slow=True)  # fmt: skip


DEEP = "(" * 500 + ")" * 500
CASES = [
    toml("not toml", "lr = = 1", "not valid TOML"),
    toml("empty key", '"" = 1', 'no field ""'),
    toml("bytes", b"\xff\xfe\x00", "cannot be read"),
    toml("an unknown field", "learning_rate = 0.1", "learning_rate", "Choices"),
    toml("a field that is nearly right", "epoch = 3", 'Did you mean "epochs"'),
    toml("a text for a number", 'lr = "fast"', "lr must be a number"),
    toml("a list for a number", "lr = [1]", "lr must be a number"),
    toml("a table for a number", "[lr]\nx = 1", "lr must be a number"),
    toml("a date for a number", "lr = 2024-01-01", "lr must be a number"),
    toml("a truth value for a number", "epochs = true", "epochs must be a whole number"),
    toml("a number that is none", "lr = nan", "finite"),
    toml("an infinite number", "lr = inf", "finite"),
    toml("several mistakes at once", "lr = -1\nepochs = 0\nbatch_size = 1", "3 mistakes"),
    toml("a number for a technique", "optimizer = 3", "optimizer must be one of"),
    toml("a text that is no technique", 'optimizer = "Adm()"', 'Did you mean "Adam"'),
    toml("a technique of another family", 'optimizer = "Mlp()"', 'no "Mlp"'),
    toml("an option that is none", 'optimizer = "Adam(beta=1)"', 'no option "beta"'),
    toml("an option outside its range", 'optimizer = "Adam(beta1=2)"', "beta1"),
    toml("a call of something else", "optimizer = \"__import__('os').system('true')\"", "technique"),
    toml("an attribute", 'optimizer = "().__class__"', "not a number"),
    toml("a comprehension", 'optimizer = "[x for x in (1,)]"', "not a number"),
    toml("deep brackets", f'augment = "{DEEP}"', "augment"),
    toml("a list of numbers for techniques", "augment = [1, 2]", "augment"),
    toml("a network of one's own", "model = \"Custom('nets.py:build')\"", "--trust", "nets.py"),
    Case("a network of one's own that is only shown",
         file("model = \"Custom('nets.py:build')\"\n"),
         ("fit", "t.csv", "--recipe", "r.toml", "--show-recipe"), "fine", ("Custom",), not_run),
    Case("no such file", table, fit("t.csv", "--recipe", "no.toml"), "error", ("no.toml", "not exist")),
    Case("a folder for a file", lambda f: [table(f), (f / "d").mkdir()], fit("t.csv", "--recipe", "d"),
         "error", ("d", "cannot be read")),
    setting("lr", "NAME=VALUE"),
    setting("=1", 'no field ""'),
    setting("lr=0", "> 0"),
    setting("lr=1e999", "finite"),
    setting("lr=1j", "a number"),
    setting("lr=" + "9" * 5000, "lr", name="lr of 5000 digits"),
    setting("epochs=1.5", "whole number"),
    setting("epochs=-3", "epochs"),
    setting("batch_size=" + "9" * 30, "batch_size", name="batch_size of 30 digits"),
    setting("epochs=" + "9" * 30, "epochs", name="epochs of 30 digits"),
    setting("patience=" + "9" * 30, "patience", name="patience of 30 digits"),
    setting("model=Mlp(hidden=(0,))", "hidden"),
    setting("model=Mlp(hidden=(-5,))", "hidden"),
    setting("model=Mlp(hidden=(1000000000,))", "hidden", "1000000"),
    setting("model=Cnn(channels=(1000000000,))", "channels", "100000"),
    setting("model=Linear(), extra", "model"),
    setting("model=Mlp(hidden=(1000000, 1000000))", "memory", "Mlp"),
    setting("model=Mlp(hidden=(" + "9" * 25 + ",))", "Mlp", name="Mlp of 10^25 units"),
    setting("model=Mlp(hidden=(" + "8, " * 3000 + "))", "hidden", name="Mlp of 3000 layers"),
    setting("model=Cnn()", "Cnn needs pictures"),
    setting("preprocess=(LogMel(),)", "sound"),
    setting("augment=(Rotate(),)", "pictures"),
    setting("augment=(Jitter(), Jitter())", "twice"),
    option("--set", "augment=(Jitter(1e300),)", says=("diverged",)),
    setting("regularize=(Dropout(1.0),)", "< 1"),
    setting("regularize=(Dropout(nan),)", "Dropout"),
    setting("schedule=StepDecay(every=0)", "every"),
    setting("optimizer=Adam(0.9, 0.9, 0.9, 0.9, 0.9, 0.9)", "takes"),
    setting("optimizer=Adam(beta1=0.9, beta1=0.8)", "optimizer"),
    setting("optimizer=Adam(**{})", "Adam"),
    setting("optimizer=lambda: 1", "optimizer"),
    setting("init=Uniform(low=1, high=0)", "Uniform"),
    setting("lr=1e30", "diverged"),
    quick("epochs=1000000000"),
    quick("patience=1000000000"),
    quick("batch_size=1000000000"),
    quick("lr=1e-300"),
    option("--budget", "forever", says=("--budget", "forever")),
    option("--budget", "-5s", says=("--budget",)),
    option("--budget", "1e99h", says=("--budget",)),
    option("--folds", "0", says=("--folds",)),
    option("--folds", "1000000", says=("--folds", "50")),
    option("--seeds", "1000000", says=("--seeds", "100")),
    option("--seed", "-1", says=("seed",)),
    Case("--seed of 40 digits", table, fit("t.csv", "--seed", "9" * 40), "fine",
         seen=lambda ended: ended.result["test"]["accuracy"]),
    option("--test", "1.5", says=("--test",)),
    option("--test", "nan", says=("--test",)),
    option("--test", "-0.1", says=("--test",)),
    option("--jobs", "many", says=("--jobs", "many")),
    option("--jobs", "-3", says=("--jobs",)),
    option("--checkpoint", "never", says=("--checkpoint",)),
    option("--precision", "float8", says=("precision",)),
    option("--kind", "video", says=("kind",)),
    option("--recipee", "x", says=("--recipe",)),
    Case("no data", table, ("fit",), "error", ("data",)),
    Case("an empty name of data", table, fit(""), "error", ("error",)),
    Case("a name of data of 5000 letters", table, fit("x" * 5000), "error", ("xxx...", "no such file")),
    Case("a recipe of 5000 letters", table, fit("t.csv", "--recipe", "x" * 5000), "error", ("xxx",)),
    Case("a test part of 5000 letters", table, fit("t.csv", "--test", "x" * 5000), "error", ("--test",)),
    Case("a folder of 5000 letters", table, (*fit("t.csv"), "--out", "x" * 5000), "error", ("xxx",)),
    Case("a verb that is none", table, ("fitt", "t.csv"), "error", ("fitt",)),
    Case("a comparison of a recipe with code", file("model = \"Custom('nets.py:build')\"\n"),
         ("compare", "start", "r.toml", "t.csv", "--out", "run"), "error", ("--trust",), not_run),
    Case("a comparison of nonsense", table, ("compare", "start", "x=y=z", "t.csv", "--out", "run"),
         "error", ("x",)),
]  # fmt: skip
