"""The command line end to end, as a subprocess: results, files, exit codes, messages."""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.openings import but_openings
from trainwell.cli.app import app
from trainwell.version import __version__

QUICK = ("--set", "epochs=2", "--set", "lr=0.01", "--folds", "2", "--seeds", "1", "--no-coach")
CLASSES = ("ash", "<script>alert(1)</script>", "Käse, alt")
SCORES = {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"}
VARYING = ("started", "seconds", "peak_mb", "run", "command", "test_openings_here")


@dataclass(frozen=True)
class Done:
    """A finished process: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


def trainwell(*args: str | Path, cwd: Path) -> Done:
    """Run a command in a folder, with English words and no terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "trainwell", *map(str, args)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("COLUMNS", "FORCE_COLOR"))}
    return keep | {"PYTHONIOENCODING": "utf-8"}


# ---- data, made here ------------------------------------------------------------------------


def write_table(path: Path, rows: int = 60, classes: tuple[str, ...] = CLASSES) -> Path:
    """Two numbers with gaps, a word, a truth value and a class that the numbers tell."""
    rng = np.random.default_rng(1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "colour", "wet", "class"])
        for i in range(rows):
            c = i % len(classes)
            a, b = rng.normal(3 * c, 1), rng.normal(-2 * c, 1)
            gap = "" if i % 17 == 5 else f"{a:.3f}"
            wet = "yes" if i % 2 else "no"
            writer.writerow([gap, f"{b:.3f}", ["red", "blue"][i % 2], wet, classes[c]])
    return path


def write_pictures(root: Path) -> Path:
    """Circles and bars in mixed sizes, modes and formats; one damaged file and one that is none."""
    rng = np.random.default_rng(2)
    modes, endings = ("L", "RGB", "RGBA", "P", "1"), ("png", "png", "png", "gif", "bmp")
    for label in ("bar", "disc"):
        (root / label).mkdir(parents=True)
        for i in range(12):
            size = 12 + 3 * (i % 3)
            y, x = np.mgrid[:size, :size] - size / 2
            inside = np.hypot(x, y) < size / 3 if label == "disc" else np.abs(x) < size / 6
            grey = (200 * inside + rng.integers(0, 50, inside.shape)).astype(np.uint8)
            kind = i % len(modes)
            name = f"{i}.{endings[kind]}" if i % 4 else f"{i}.png"
            Image.fromarray(grey).convert(modes[kind]).save(root / label / name)
    (root / "bar" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (root / "bar" / "notes.txt").write_text("no picture")
    return root


def write_clip(path: Path, hertz: float, rate: int, seconds: float, seed: int) -> None:
    time_axis = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time_axis))
    samples = np.round((0.4 * np.sin(2 * np.pi * hertz * time_axis) + noise) * 32767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def write_clips(root: Path) -> Path:
    """Two tones of six speakers at mixed rates and lengths; one clip of no length."""
    root.mkdir()
    for number, (label, hertz) in enumerate((("high", 1500), ("low", 300))):
        for s, speaker in enumerate(("ann", "bob", "cyd", "dan", "eve", "fay")):
            for i in range(2):
                rate = (8000, 8000, 11025)[(s + i) % 3]
                path = root / f"{label}_{speaker}_{i}.wav"
                write_clip(path, hertz + 20 * s, rate, 0.25 + 0.05 * i, 100 * number + 10 * s + i)
    write_clip(root / "low_gus_0.wav", 300, 8000, 0, 0)
    return root


# ---- trainings that several tests look at ---------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A training: its working folder, data, run folder and process."""

    place: Path
    data: Path
    run: Path
    done: Done

    @property
    def result(self) -> Any:
        return json.loads((self.run / "run.json").read_text(encoding="utf-8"))


def train(place: Path, data: Path, *args: str) -> Trained:
    done = trainwell("fit", data.name, "--out", "run", "--json", *QUICK, *args, cwd=place)
    assert done.code == 0, done.err
    return Trained(place, data, place / "run", done)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("table")
    return train(place, write_table(place / "trees.csv"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("pictures")
    return train(place, write_pictures(place / "shapes"), "--set", "model=Cnn(channels=(4,))")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("clips")
    data = write_clips(place / "tones")
    pattern = ("--pattern", "{label}_{speaker}_{index}.wav", "--group", "speaker")
    return train(place, data, *pattern, "--set", "model=Cnn(channels=(4,))")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a good table in it."""
    write_table(tmp_path / "trees.csv")
    return tmp_path


# ---- fit ------------------------------------------------------------------------------------


def check_summary(done: Done, result: Any) -> None:
    """Standard output: the answer, the yardsticks, where the report is, the JSON line."""
    assert done.json == result
    *words, _ = done.out.splitlines()
    assert re.match(rf"{result['name']}: \d+\.\d% right on \d+ sealed test examples", words[1])
    starts = [line.split("  ")[0].split(" ")[0] for line in words if line.strip()][1:]
    assert starts[0] == "accuracy" or words[3].split()[0] == "accuracy"
    known = {"network", "majority", "linear", "boosted", "note:", "report", "predict", "accuracy"}
    known |= {"coach", "rates"}
    known |= {"FAULT", "WARN", "next", "ensemble"}  # what the doctor found, and how many notes
    assert {s for s in starts if s and not s.isdigit()} <= known
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.err
    assert "training 2 networks ..." in done.err.splitlines()


def test_fit_of_a_table_writes_the_run_folder_and_says_the_same_on_standard_output(
    table: Trained,
) -> None:
    result = table.result
    check_summary(table.done, result)
    wanted = {"run.json", "recipe.toml", "history.csv", "findings.json", "decisions.json"}
    wanted |= {"probes.csv", "doctor.json", "request.json"}
    wanted |= {"oof.npz", "model", "report.html", "log.txt"}
    assert {p.name for p in table.run.iterdir()} == wanted
    assert {p.name for p in (table.run / "model").iterdir()} == {
        "model.json",
        "weights.safetensors",
    }
    for part in ("test", "validation"):
        assert result[part].keys() >= SCORES | {"n"}
        for name in SCORES:
            ends = result[part][name]
            assert ends["low"] <= ends["value"] <= ends["high"], (part, name)
    keys = {"run", "recipe", "findings", "decisions", "ensemble", "seconds", "peak_mb"}
    assert result.keys() >= keys
    assert (result["test"]["n"], result["validation"]["n"]) == (12, 48)
    assert result["test_openings"] == 1
    assert result["interrupted"] is False
    assert result["classes"] == sorted(CLASSES, key=str.casefold)
    assert sum(map(sum, result["confusion"])) == 12
    assert result["recipe"]["epochs"] == "2"
    trained = result["train"]["accuracy"]
    assert 0 <= trained["value"] <= 1
    assert trained["low"] is trained["high"] is None  # networks that share rows: no interval


def test_the_files_of_a_run_hold_what_the_contract_says(table: Trained) -> None:
    with (table.run / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["member"], r["epoch"]) for r in rows] == [
        ("0", "1"),
        ("0", "2"),
        ("1", "1"),
        ("1", "2"),
    ]
    with np.load(table.run / "oof.npz") as stored:
        assert stored["probabilities"].shape == (48, 3)
        np.testing.assert_allclose(stored["probabilities"].sum(axis=1), 1, atol=1e-5)
    recipe = tomllib.loads((table.run / "recipe.toml").read_text(encoding="utf-8"))
    assert (recipe["lr"], recipe["epochs"]) == (0.01, 2)
    log = (table.run / "log.txt").read_text(encoding="utf-8")
    assert "training 2 networks" in log
    found = json.loads((table.run / "findings.json").read_text())
    assert found == table.result["findings"]
    keys = {"code", "name", "level", "confidence", "words", "evidence", "remedies", "where"}
    assert all(keys <= set(f) for f in found)


def test_a_class_called_like_a_script_is_words_in_the_report(table: Trained) -> None:
    page = (table.run / "report.html").read_text(encoding="utf-8")
    assert CLASSES[1] not in page
    assert html.escape(CLASSES[1]) in page
    assert "Käse, alt" in page


def test_fit_of_a_folder_of_pictures_skips_what_is_none_and_says_so(pictures: Trained) -> None:
    result = pictures.result
    check_summary(pictures.done, result)
    assert result["kind"] == "images"
    assert result["data"]["rows"] == 24
    skipped = {s["where"]: s["why"] for s in result["data"]["skipped"]}
    assert skipped.keys() == {"bar/broken.png", "bar/notes.txt"}
    assert "cannot be read" in skipped["bar/broken.png"]
    assert "skipped bar/broken.png" in pictures.done.err
    assert "sizes are resized" in pictures.done.err
    assert (pictures.run / "examples.npz").is_file()


def test_fit_of_a_folder_of_clips_keeps_speakers_apart(clips: Trained) -> None:
    result = clips.result
    check_summary(clips.done, result)
    assert result["kind"] == "audio"
    assert result["data"]["rows"] == 24
    assert [s["where"] for s in result["data"]["skipped"]] == ["low_gus_0.wav"]
    assert "length 0" in result["data"]["skipped"][0]["why"]
    assert "resampled to 8000" in clips.done.err
    assert "unseen groups" in clips.done.err
    assert result["test"]["n"] % 4 == 0  # whole speakers, four clips each


def test_fit_of_arrays_and_of_a_sample_set(place: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(place / "made.npz", X=rng.normal(size=(40, 3)) + labels[:, None], y=labels)
    done = trainwell("fit", "made.npz", *QUICK, "--json", "--test", "0", "--no-ensemble", cwd=place)
    assert (done.code, done.json["test"], done.json["validation"]["n"]) == (0, None, 40)
    assert re.fullmatch(r"runs/made.npz-\d{8}-\d{6}", done.json["run"])
    assert "right on 40 validation examples" in done.out
    sample = trainwell("fit", "iris", *QUICK, "--quiet", "--out", "iris", "--json", cwd=place)
    assert (sample.code, sample.err) == (0, "")
    assert sample.json["data"]["rows"] == 150


def test_the_same_command_twice_gives_the_same_bits(table: Trained) -> None:
    again = trainwell("fit", table.data.name, "--out", "b", "--json", *QUICK, cwd=table.place)
    assert again.code == 0, again.err
    weights = [
        folder / "model" / "weights.safetensors" for folder in (table.run, table.place / "b")
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    one, two = table.result, dict(again.json)
    for name in VARYING:
        assert name in one
        one.pop(name)
        two.pop(name)
    assert but_openings(one.pop("warnings")) == but_openings(two.pop("warnings"))
    assert one == two


def test_a_test_file_is_the_test_part(place: Path) -> None:
    write_table(place / "held.csv", rows=9)
    options = ("--test", "held.csv", "--out", "run", "--json")
    text = (place / "trees.csv").read_text(encoding="utf-8").splitlines()
    (place / "rest.csv").write_text("\n".join([text[0], *text[10:]]) + "\n", encoding="utf-8")
    done = trainwell("fit", "rest.csv", *options, *QUICK, cwd=place)
    assert (done.code, done.json["test"]["n"], done.json["validation"]["n"]) == (0, 9, 51)


def interrupt(place: Path, stage: str, seconds: float, *args: str) -> Done:
    """Start a training without end; press Ctrl-C some seconds after it says `stage`."""
    long = ("--set", "epochs=100000", "--set", "patience=100000", "--folds", "2", "--seeds", "1")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "trainwell",
            "fit",
            "trees.csv",
            *long,
            "--budget",
            "10h",
            "--no-coach",
            *args,
        ],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Where the tests run in the background, Ctrl-C is switched off, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(stage):
                break
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in err
    assert not (place / "log.txt").exists()
    return Done(process.returncode, out, err)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
def test_ctrl_c_keeps_the_best_so_far(place: Path) -> None:
    more = ("--set", "lr=0.001", "--out", "run", "--jobs", "1", "--json")
    done = interrupt(place, "training", 4, *more)  # some epochs, each of a few milliseconds
    assert done.code == 130, done.err
    assert "best so far is saved in run" in done.err
    result = json.loads((place / "run" / "run.json").read_text(encoding="utf-8"))
    assert result["interrupted"] is True
    assert done.json == result
    found = trainwell("predict", "run", "trees.csv", cwd=place)
    assert found.code == 0, found.err
    assert len(found.out.splitlines()) == 61


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
def test_ctrl_c_before_there_is_anything_to_keep(place: Path) -> None:
    done = interrupt(place, "searching", 1)
    assert (done.code, done.out) == (130, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("Interrupted while searching the learning rate; go on with: trainwell")


# ---- recipes --------------------------------------------------------------------------------


def test_a_recipe_goes_round(table: Trained) -> None:
    shown = trainwell("fit", "trees.csv", "--show-recipe", "--set", "epochs=3", cwd=table.place)
    assert shown.code == 0
    assert tomllib.loads(shown.out)["epochs"] == 3
    (table.place / "shown.toml").write_text(shown.out, encoding="utf-8")
    back = ("fit", "trees.csv", "--show-recipe", "--recipe")
    again = trainwell(*back, "shown.toml", cwd=table.place)
    assert again.out == shown.out
    of_run = trainwell(*back, "run/recipe.toml", cwd=table.place)
    assert of_run.out == (table.run / "recipe.toml").read_text(encoding="utf-8")


def test_show_recipe_as_json(table: Trained) -> None:
    shown = trainwell("fit", "trees.csv", "--show-recipe", "--json", cwd=table.place)
    assert shown.json["recipe"]["lr"] == "None"


# ---- predict --------------------------------------------------------------------------------


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_a_table_on_standard_output_and_into_a_file(table: Trained) -> None:
    shown = trainwell("predict", "run", "trees.csv", cwd=table.place)
    assert shown.code == 0, shown.err
    rows = rows_of(shown.out)
    assert len(rows) == 60
    assert list(rows[0]) == [
        "input",
        "label",
        "probability",
        "unusual",
        *(f"p:{c}" for c in table.result["classes"]),
    ]
    for row in rows:
        shares = {c: float(row[f"p:{c}"]) for c in CLASSES}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares[row["label"]] == max(shares.values()) == float(row["probability"])
    assert rows[0]["input"] == "trees.csv, line 2"
    assert "right where the input holds the label" in shown.err
    # Without the label, and with a word and a gap that training did not see.
    (table.place / "new.csv").write_text("wet,colour,b,a\nno,violet,1.5,\n", encoding="utf-8")
    done = trainwell("predict", "run/model", "new.csv", "-o", "p.csv", "--json", cwd=table.place)
    assert done.code == 0, done.err
    found = {"predictions": 1, "out": "p.csv", "accuracy": None, "unusual": 1, "skipped": []}
    assert done.json == found
    assert '"violet" did not occur in training' in done.err
    (row,) = rows_of((table.place / "p.csv").read_text(encoding="utf-8"))
    assert row["unusual"] == "colour"


def test_predict_a_folder_and_a_single_picture(pictures: Trained) -> None:
    folder = trainwell("predict", "run", "shapes", "--json", cwd=pictures.place)
    assert folder.code == 0, folder.err
    assert folder.json["predictions"] == 24
    assert [s["where"] for s in folder.json["skipped"]] == ["bar/notes.txt", "bar/broken.png"]
    assert "skipped bar/broken.png" in folder.err
    one = trainwell("predict", "run", "shapes/disc/1.png", cwd=pictures.place)
    (row,) = rows_of(one.out)
    assert row["label"] in ("bar", "disc")
    assert row["input"] == "1.png"


def test_predict_a_folder_and_a_single_clip(clips: Trained) -> None:
    folder = trainwell("predict", "run", "tones", "--json", cwd=clips.place)
    assert folder.code == 0, folder.err
    assert folder.json["predictions"] == 24
    assert folder.json["accuracy"] is not None
    one = trainwell("predict", "run", "tones/low_bob_1.wav", cwd=clips.place)
    (row,) = rows_of(one.out)
    assert row["label"] in ("high", "low")


# ---- report, data, techniques, help ---------------------------------------------------------


def test_report_is_drawn_again(table: Trained) -> None:
    page = table.run / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = trainwell("report", "run", "--json", cwd=table.place)
    assert (done.code, done.json) == (0, {"report": "run/report.html", "pictures": []})
    assert page.read_bytes() == before


def test_data_lists_and_describes_samples(tmp_path: Path) -> None:
    listed = trainwell("data", "--json", cwd=tmp_path)
    assert listed.code == 0
    assert {"iris", "mnist", "fsdd"} <= {s["name"] for s in listed.json["samples"]}
    one = trainwell("data", "wine", cwd=tmp_path)
    assert one.code == 0
    assert "178" in one.out
    assert "source:" in one.out


def test_techniques_lists_and_explains(tmp_path: Path) -> None:
    listed = trainwell("techniques", "--json", cwd=tmp_path)
    found = {t["name"]: t for t in listed.json["techniques"]}
    assert {"Adam", "Dropout", "Cosine"} <= found.keys()
    assert found["Adam"].keys() == {"name", "family", "slide", "says"}
    one = trainwell("techniques", "StepDecay", cwd=tmp_path)
    assert one.code == 0
    assert "factor" in one.out


def test_help_and_no_arguments(tmp_path: Path) -> None:
    helped = trainwell("--help", cwd=tmp_path)
    bare = trainwell(cwd=tmp_path)
    assert (helped.code, bare.code) == (0, 0)
    assert helped.out == bare.out
    for verb in ("fit", "predict", "report", "data", "techniques"):
        assert re.search(rf"^  {verb} ", helped.out, re.MULTILINE)
    assert trainwell("--version", cwd=tmp_path).out == f"trainwell {__version__}\n"


VERBS = [c.callback.__name__ for c in app.registered_commands if c.callback is not None]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_fits_a_screen_and_shows_an_example(verb: str) -> None:
    helped = CliRunner().invoke(app, [verb, "--help"], terminal_width=80)
    assert helped.exit_code == 0
    assert len(helped.stdout.splitlines()) <= 45
    assert f"Example: trainwell {verb}" in helped.stdout


# ---- mistakes: exit code 2, one message, no traceback ---------------------------------------

FIT, PREDICT = ("fit",), ("predict", "../model")
# A short name, the command, and what the message has to say, in this order.
MISTAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "missing file": (("fit", "tree.csv"), ("tree.csv", "no such file", "trees.csv")),
    "empty folder": (("fit", "empty"), ("empty", "pictures or sound clips", "found none")),
    "empty file": (("fit", "empty.csv"), ("empty.csv", "empty file")),
    "header only": (("fit", "header.csv"), ("header.csv", "expected rows", "none")),
    "one class": (("fit", "one.csv"), ("one.csv", "class", "two classes", "Add rows")),
    "no target": (("fit", "trees.csv", "--target", "clas"), ("--target clas", '"class"')),
    "unclear target": (("fit", "numbers.csv"), ("numbers.csv", "plainly the label", "--target")),
    "no group": (("fit", "trees.csv", "--group", "who"), ("--group who", "no such column")),
    "mixed labels": (("fit", "mixed.csv"), ("line 7", "class", "one kind", "two", "Correct")),
    "no label": (("fit", "gaps.csv"), ("class", "label in every row", "2 of 8", "line 8")),
    "regression": (("fit", "price.csv"), ("price.csv", "target", "40 different numbers")),
    "slip": (("fit", "slip.csv"), ("line 9", '"a"', "expected a number", '"seven"', "Correct")),
    "infinite": (("fit", "infinite.csv"), ("line 5", '"a"', "finite", "inf")),
    "surplus cell": (("fit", "wide.csv"), ("line 3", "3 cells", "got 4")),
    "two of a name": (("fit", "double.csv"), ("double.csv", '"a"', "1, 2", "Rename")),
    "two rows": (("fit", "two.csv"), ("two.csv", "test part", "Give more rows")),
    "four rows": (("fit", "four.csv"), ("four.csv", "too few different rows", "Give more rows")),
    "one group": (("fit", "trees.csv", "--group", "wet"), ("too few groups", "Give more rows")),
    "not text": (("fit", "binary.csv"), ("binary.csv", "binary file")),
    "half a gzip": (("fit", "half.csv.gz"), ("half.csv.gz", "cannot be read")),
    "bad npz": (("fit", "bad.npz"), ("bad.npz", "cannot be read as .npz")),
    "objects": (("fit", "objects.npz"), ("objects.npz", "Python objects", "not read")),
    "all unreadable": (("fit", "ruins"), ("ruins", "none of the 2 files", "a/1.png")),
    "silent clips": (("fit", "silence"), ("silence", "none of the 2 files", "length 0")),
    "wrong kind": (("fit", "trees.csv", "--kind", "audio"), ("--kind audio", "holds table")),
    "no kind": (("fit", "trees.csv", "--kind", "video"), ("--kind", "video", "images")),
    "pattern": (("fit", "trees.csv", "--pattern", "{label}"), ("--pattern", "Leave it out")),
    "test file": (("fit", "trees.csv", "--test", "nix.csv"), ("--test", "share", "nix.csv")),
    "test share": (("fit", "trees.csv", "--test", "1.5"), ("--test", "below 1", "1.5")),
    "test all": (("fit", "trees.csv", "--test", "0.99"), ("trees.csv", "--test share")),
    "test columns": (("fit", "trees.csv", "--test", "numbers.csv"), ("numbers.csv", "columns")),
    "budget": (("fit", "trees.csv", "--budget", "soon"), ("--budget", "90s, 10m", "soon")),
    "folds": (("fit", "trees.csv", "--folds", "0"), ("--folds", "from 1 up", "got 0")),
    "folds word": (("fit", "trees.csv", "--folds", "x"), ("--folds", "integer")),
    "seeds": (("fit", "trees.csv", "--seeds", "100000"), ("--seeds", "at most 100")),
    "out full": (("fit", "trees.csv", "--out", "full"), ("full", "not empty", "--out")),
    "out below file": (("fit", "trees.csv", "--out", "one.csv/x"), ("one.csv/x", "written")),
    "recipe file": (("fit", "trees.csv", "--recipe", "no.toml"), ("no.toml", "does not exist")),
    "recipe no toml": (("fit", "trees.csv", "--recipe", "one.csv"), ("one.csv", "not valid TOML")),
    "settings": (
        ("fit", "trees.csv", "--set", "lr=x", "--set", "optimizer=Adm", "--set", "epoch=0"),
        ("3 mistakes", "lr must be a number", 'mean "Adam"', 'mean "epochs"'),
    ),
    "setting form": (("fit", "trees.csv", "--set", "lr"), ("--set", "NAME=VALUE", '"lr"')),
    "wrong model": (("fit", "trees.csv", "--set", "model=Cnn()"), ("Cnn", "needs pictures")),
    "diverged": (
        (
            "fit",
            "trees.csv",
            "--set",
            "lr=1e38",
            "--set",
            "schedule=Constant()",
            "--no-coach",
            "--out",
            "diverged",
        ),
        ("diverged", "smaller rate", "--set lr"),
    ),
    "option": (("fit", "trees.csv", "--fold", "3"), ("--fold", "--folds")),
    "command": (("train", "trees.csv"), ("train", "--help")),
    "no data": (("fit",), ("DATA", "--coach-from")),
    "predict no run": (("predict", "empty", "trees.csv"), ("empty", "holds no model")),
    "predict no file": ((*PREDICT, "nix.csv"), ("nix.csv", "no such file")),
    "predict more columns": ((*PREDICT, "more.csv"), ("more.csv", "extra", "Remove")),
    "predict fewer columns": ((*PREDICT, "fewer.csv"), ("fewer.csv", "without", "colour", "Add")),
    "predict a word": ((*PREDICT, "word.csv"), ("line 3", '"a"', "a number", '"tall"')),
    "predict folder": ((*PREDICT, "ruins"), ("ruins", "expected a table", "folder")),
    "predict damaged card": (("predict", "cards", "trees.csv"), ("cards", "damaged")),
    "predict damaged weights": (("predict", "weights", "trees.csv"), ("weights", "damaged")),
    "predict no place": ((*PREDICT, "trees.csv", "-o", "one.csv/x"), ("one.csv/x", "written")),
    "report no run": (("report", "empty"), ("empty", "no finished run in it")),
    "data name": (("data", "irs"), ("irs", "no sample data set", "iris")),
    "technique name": (("techniques", "Adma"), ("Adma", "Adam")),
}


# Commands of standard input, run as the command line runs them; importing once saves minutes.
ONE_BY_ONE = """
import contextlib, io, json, sys
from trainwell.cli import main
found = []
for command in json.load(sys.stdin):
    out, err, code = io.StringIO(), io.StringIO(), None
    sys.argv = ["trainwell", *command]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def mistakes(table: Trained, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """What each command of MISTAKES ended in; one process runs them all, in one folder."""
    top = tmp_path_factory.mktemp("mistakes")
    (top / "model").symlink_to(table.run / "model")
    place = top / "work"
    place.mkdir()
    write_mistakes(place, table)
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE],
        cwd=place,
        env=environment(),
        input=json.dumps([command for command, _ in MISTAKES.values()]),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=True,
    )
    found = [Done(*parts) for parts in json.loads(done.stdout.splitlines()[-1])]
    assert not (place / "log.txt").exists(), (place / "log.txt").read_text(encoding="utf-8")
    return dict(zip(MISTAKES, found, strict=True)).__getitem__


def write_mistakes(place: Path, table: Trained) -> None:
    """The files that MISTAKES speaks of."""
    good = write_table(place / "trees.csv").read_text(encoding="utf-8")
    xy = ["x" if i % 2 else "y" for i in range(40)]
    tables = {
        "empty": "",
        "header": "a,b,class\n",
        "one": "a,b,class\n" + "1,2,x\n3,4,x\n5,7,x\n",
        "numbers": "p,q,r\n" + "".join(f"{i}.5,{i * i}.25,{i % 7}.75\n" for i in range(40)),
        "mixed": "a,class\n" + "".join(f"{i}.5,{'two' if i == 5 else i % 3}\n" for i in range(30)),
        "gaps": "a,class\n1,x\n2,y\n3,x\n4,y\n5,x\n6,y\n7,\n8,NaN\n",
        "price": "a,target\n" + "".join(f"{i},{i * 1.37}\n" for i in range(40)),
        "slip": "a,class\n" + "".join(f"{'seven' if i == 7 else i},{xy[i]}\n" for i in range(30)),
        "infinite": "a,class\n" + "".join(f"{'inf' if i == 3 else i},{xy[i]}\n" for i in range(30)),
        "wide": "a,b,class\n1,2,x\n2,3,y,9\n",
        "double": "a,a,class\n1,2,x\n2,3,y\n",
        "two": "a,b,class\n1,2,x\n3,4,y\n",
        "four": "a,b,class\n1,2,x\n3,4,y\n1.5,2,x\n3.5,4,y\n",
        "more": "a,b,colour,wet,extra\n1,2,red,no,5\n",
        "fewer": "a,b,wet\n1,2,no\n",
        "word": "a,b,colour,wet\n1,2,red,no\ntall,2,red,no\n",
    }
    for name, text in tables.items():
        (place / f"{name}.csv").write_text(text, encoding="utf-8")
    (place / "binary.csv").write_bytes(b"\x89PNG\0\1\2" * 40)
    (place / "half.csv.gz").write_bytes(gzip.compress(good.encode())[:200])
    (place / "bad.npz").write_bytes(b"PK\3\4 and no more")
    objects = np.array([[1, "a"], [2, None]], dtype=object)
    np.savez(place / "objects.npz", X=objects, y=np.array([0, 1]))
    (place / "empty").mkdir()
    for label in "ab":
        (place / "ruins" / label).mkdir(parents=True)
        (place / "ruins" / label / "1.png").write_bytes(b"no picture")
        (place / "silence" / label).mkdir(parents=True)
        write_clip(place / "silence" / label / "1.wav", 300, 8000, 0, 0)
    (place / "full").mkdir()
    (place / "full" / "thesis.txt").write_text("keep me")
    weights = (table.run / "model" / "weights.safetensors").read_bytes()
    card = (table.run / "model" / "model.json").read_bytes()
    for name, (half, whole) in {"cards": (200, None), "weights": (None, 200)}.items():
        (place / name).mkdir()
        (place / name / "model.json").write_bytes(card[:half])
        (place / name / "weights.safetensors").write_bytes(weights[:whole])


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_one_message(name: str, mistakes: Callable[[str], Done]) -> None:
    done = mistakes(name)
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.count("error: ") == 1
    message = done.err[done.err.index("error: ") :]
    at = 0
    for word in MISTAKES[name][1]:
        assert word in message[at:], (word, message)
        at = message.index(word, at)


def test_a_mistake_leaves_the_out_folder_usable(place: Path) -> None:
    wrong = ("--set", "lr=1e38", "--set", "schedule=Constant()", *QUICK[4:])
    assert trainwell("fit", "trees.csv", "--out", "run", *wrong, cwd=place).code == 2
    assert trainwell("fit", "trees.csv", "--out", "run", *QUICK, cwd=place).code == 0
