"""The claims lab through the command line: cheap claims, one's own data, one's own claim."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

from trainwell.cli import main


def run(capsys, monkeypatch, *arguments):
    """Exit code, standard output and standard error of `trainwell claims ...`."""
    monkeypatch.setattr(sys, "argv", ["trainwell", "claims", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    seen = capsys.readouterr()
    return end.value.code, seen.out, seen.err


@pytest.fixture
def trainwell(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def test_list_names_every_claim(trainwell):
    code, out, _ = trainwell("list", "--json")
    rows = last_json(out)["claims"]
    assert code == 0
    assert {"name", "slide", "says"} == set(rows[0])
    assert "more_data" in {r["name"] for r in rows}


def test_show_tells_the_rule(trainwell):
    code, out, _ = trainwell("show", "zero_weights", "--json")
    assert code == 0
    assert "zero against He" in last_json(out)["rule"]


@pytest.mark.parametrize(
    ("name", "verdict"), [("zero_mean", "reproduced"), ("dropout_scaling", "reproduced")]
)
def test_a_claim_is_tried(trainwell, tmp_path, name, verdict):
    code, out, _ = trainwell("run", name, "--out", "found", "--quiet", "--json")
    found = last_json(out)
    assert code == 0
    assert found["verdict"] == verdict
    assert set(found["estimate"]) == {"value", "low", "high", "of"}
    assert found["estimate"]["low"] <= found["estimate"]["value"] <= found["estimate"]["high"]
    assert not re.findall(r"\{[^{}]*\}", found["paragraph"])  # nothing left to fill in
    page = (tmp_path / "found" / f"{name}.html").read_text("utf-8")
    assert found["verdict"] in page
    assert "<svg" in page
    code, out, _ = trainwell("report", "found", "--json")
    assert last_json(out)["claims"] == [{"name": name, "verdict": verdict}]
    assert "| zero mean" in out or "| after dropout" in out
    assert (tmp_path / "found" / "index.html").is_file()


def write_table(path, rows=240, names=("a<b>", "b", "c")):
    """A table of three classes whose columns have very different units."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    x = rng.normal(size=(rows, 4)) + 2 * np.eye(3)[y] @ rng.normal(size=(3, 4))
    lines = ["p,q,r,s,kind"]
    lines += [
        f"{a:.4f},{1000 * b:.4f},{c:.4f},{0.01 * d:.6f},{names[k]}"
        for (a, b, c, d), k in zip(x, y, strict=True)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def test_a_claim_is_tried_on_ones_own_data(trainwell, tmp_path):
    write_table(tmp_path / "my<i>.csv")
    options = ("--data", "my<i>.csv", "--target", "kind", "--out", "found", "--quiet", "--json")
    code, out, _ = trainwell("run", "zero_mean", *options)
    found = last_json(out)
    assert code == 0
    assert found["own_data"]
    assert found["verdict"] in ("reproduced", "refuted", "not decided")
    page = (tmp_path / "found" / "zero_mean.html").read_text("utf-8")
    assert "my&lt;i&gt;" in page
    assert "my<i>" not in page
    trainwell("report", "found")
    for name in ("README.md", "index.html"):
        assert "my<i>" not in (tmp_path / "found" / name).read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run", "more_dta"), 'Did you mean "more_data"?'),
        (("run",), "the name of a claim, or --all"),
        (("run", "per_picture", "--data", "t.csv", "--target", "kind"), "is about images"),
        (("run", "zero_mean", "--data", "few.csv", "--target", "kind"), "few"),
        (("report", "nowhere"), "holds no results"),
    ],
)
def test_mistakes_are_told(trainwell, tmp_path, arguments, part):
    write_table(tmp_path / "t.csv")
    write_table(tmp_path / "few.csv", rows=6)
    code, _, err = trainwell(*arguments)
    assert code == 2
    assert part in err


OWN = """
name = "same"
slide = "Shuffle"
sentence = "A network is as good as itself."
says = "a network is as good as itself"
source = "logic"
data = "iris"
[quick]
repetitions = 6
rows = 60
validation = 30
decision = 50
epochs = 3
[[arm]]
name = "a"
[[arm]]
name = "b"
[[contrast]]
name = "difference"
measure = "accuracy"
of = "a"
minus = "b"
expect = "within"
margin = 0.05
[words]
claimed = "c"
saw = "{difference}"
reproduced = "r"
refuted = "f"
undecided = "u"
"""


def test_a_claim_of_ones_own(trainwell, tmp_path):
    """Two equal arms: the difference is nothing, and that is what the rule asks for."""
    (tmp_path / "same.toml").write_text(OWN, encoding="utf-8")
    code, out, _ = trainwell("run", "same.toml", "--quiet", "--json")
    assert code == 0
    assert last_json(out)["verdict"] == "reproduced"


def test_the_table_is_put_between_its_marks(trainwell, tmp_path):
    trainwell("run", "zero_mean", "--out", "found", "--quiet")
    text = "before\n<!-- claims -->\nold\n<!-- end of claims -->\nbehind\n"
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    assert trainwell("report", "found", "--into", "page.md")[0] == 0
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "| reproduced |" in text
    assert text.startswith("before") and text.endswith("behind\n") and "old" not in text
    (tmp_path / "page.md").write_text("no marks", encoding="utf-8")
    code, _, err = trainwell("report", "found", "--into", "page.md")
    assert code == 2
    assert "no place for the table" in err


def test_steps_are_counted_to_what_can_be_reached_on_ones_own_data(trainwell, tmp_path):
    """Classes of which two cannot be told apart: nobody reaches the claim's own target."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4
    x = rng.normal(size=(200, 3)) + 4 * (y[:, None] > 1)
    rows = [f"{a:.3f},{b:.3f},{c:.3f},k{k}" for (a, b, c), k in zip(x, y, strict=True)]
    (tmp_path / "hard.csv").write_text("\n".join(["a,b,c,kind", *rows]), encoding="utf-8")
    text = OWN.replace('"accuracy"', '"steps_to_target"').replace("epochs = 3", "steps = 60")
    (tmp_path / "same.toml").write_text(text, encoding="utf-8")
    options = ("--data", "hard.csv", "--target", "kind", "--quiet", "--json")
    code, out, _ = trainwell("run", "same.toml", *options)
    found = last_json(out)
    assert code == 0
    assert found["means"]["accuracy"]["a"] < 0.7
    assert found["means"]["steps_to_target"]["a"] < 50


def test_a_claim_runs_no_code_of_its_own(trainwell, tmp_path):
    evil = "from pathlib import Path\nPath('ran').touch()\ndef f(shape, classes): ...\n"
    (tmp_path / "evil.py").write_text(evil, encoding="utf-8")
    text = OWN.replace('name = "a"\n', 'name = "a"\nset = { model = "Custom(\'evil.py:f\')" }\n', 1)
    (tmp_path / "same.toml").write_text(text, encoding="utf-8")
    code, _, err = trainwell("run", "same.toml", "--quiet")
    assert code == 2
    assert "runs no code" in err
    assert not (tmp_path / "ran").exists()
