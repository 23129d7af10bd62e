"""The page: numbers as in run.json, nothing from outside, names escaped, old runs readable."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import made
from trainwell.data.dataset import AudioSchema, Column, Dataset, ImageSchema, TableSchema
from trainwell.data.facts import facts
from trainwell.errors import DataError
from trainwell.report import page
from trainwell.report.data import DATA_ELSEWHERE, DATA_NAMES, data_rows
from trainwell.report.verdict import verdict
from trainwell.results import data_table

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Strict(HTMLParser):
    """Collects text and complains about tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


def parsed(text: str) -> Strict:
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def words(text: str) -> str:
    return " ".join(" ".join(parsed(text).words).split())


def test_report_of_a_folder(tmp_path):
    run = made.write(tmp_path / "digits", made.run_json())
    out = page.write_report(run)
    text = out.read_text(encoding="utf-8")
    assert out == run / "report.html"
    assert len(text) < 1_000_000
    found = parsed(text)
    assert found.seen.count("h1") == 1
    assert found.seen.count("script") == 1
    assert "data:image/png;base64," in text
    assert len((Path(page.__file__).parent / "templates" / "hover.js").read_text()) < 3000


def test_nothing_comes_from_outside(tmp_path):
    text = page.write_report(made.write(tmp_path, made.run_json())).read_text(encoding="utf-8")
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"@import|<link|url\(|src=\"(?!data:)", text)


def test_numbers_are_those_of_run_json():
    facts = made.run_json()
    told = words(page.render(facts))
    for part in ("test", "validation", "train"):
        for name, score in facts[part].items():
            if name == "n":
                assert f"{score:,}" in told
            elif name == "log_loss":
                assert f"{score['value']:.3f}" in told
                assert f"{score['low']:.3f}–{score['high']:.3f}" in told
            else:
                assert f"{100 * score['value']:.1f} %" in told
                assert f"{100 * score['low']:.1f}–{100 * score['high']:.1f}" in told
    test = facts["test"]["accuracy"]
    answer = f"digits {100 * test['value']:.1f} % right on 360 sealed test examples"
    assert answer in told
    for row in facts["per_class"]:
        assert f"{100 * row['precision']['value']:.1f} %" in told
    for value in facts["recipe"].values():
        assert str(value) in told
    assert facts["command"] in told
    assert "84,234" in told
    assert "41.2 s" in told
    assert "opened once" in told


def test_names_are_shown_as_text(tmp_path):
    facts = made.run_json(3)
    evil = "<script>alert(1)</script>"
    facts["classes"] = ["a", "b & c", evil]
    facts["name"] = facts["command"] = evil
    for row, name in zip(facts["per_class"], facts["classes"], strict=True):
        row["class"] = name
    facts["data"]["counts"] = dict.fromkeys(facts["classes"], 5)
    facts["data"]["skipped"] = [{"where": evil, "why": evil}]
    facts["warnings"] = facts["data"]["notes"] = [evil]
    text = page.write_report(made.write(tmp_path, facts)).read_text(encoding="utf-8")
    assert evil not in text
    assert parsed(text).seen.count("script") == 1
    assert evil in words(text)


def test_without_a_test_part():
    told = words(page.render(made.run_json(test=False)))
    assert "1,440 validation examples, out of fold" in told
    assert "No test part was kept" in told
    assert "sealed test examples" not in told


@pytest.mark.parametrize("key", sorted(made.run_json()))
def test_each_key_may_be_missing_or_null(key):
    facts = made.run_json(3)
    rows = [{"epoch": 1.0, "val_loss": 1.0}]
    parsed(page.render({k: v for k, v in facts.items() if k != key}, rows))
    parsed(page.render({**facts, key: None}, rows))


def test_an_almost_empty_run():
    told = words(page.render({"name": "old"}))
    assert "old" in told
    assert "None" not in told
    parsed(page.render({}))


def test_inner_keys_may_be_missing():
    facts = made.run_json(3)
    facts["ladder"]["rates"][0] = {"lr": 0.001}
    facts["members"][0] = {"member": 0}
    facts["baselines"][0] = {"name": "majority"}
    facts["per_class"][0] = {"class": "0", "n": 0, "recall": {"value": None, "low": 0, "high": 1}}
    facts["test"]["ece"] = None
    facts["validation"]["accuracy"] = {"value": 0.5, "low": None, "high": None}
    assert "None" not in words(page.render(facts))


@pytest.mark.parametrize("classes", [2, 13, 31, 60])
def test_any_number_of_classes(classes):
    parsed(page.render(made.run_json(classes)))


def test_odd_histories(tmp_path):
    for rows in ("", "member,epoch\n", made.history(1, 1), "epoch,val_loss\n1,nan\nx,inf\n2,\n"):
        text = page.write_report(made.write(tmp_path, made.run_json(members=1), rows, False))
        parsed(text.read_text(encoding="utf-8"))
    (tmp_path / "history.csv").unlink()
    page.write_report(tmp_path)


@pytest.mark.parametrize(
    ("network", "other", "said"),
    [
        ((0.98, 0.97, 0.99), (0.9, 0.88, 0.92), "do not overlap: on data like these, the network"),
        ((0.9, 0.88, 0.92), (0.98, 0.97, 0.99), "use linear instead"),
        ((0.95, 0.9, 0.97), (0.93, 0.88, 0.96), "do not show that it is better"),
        ((0.93, 0.9, 0.97), (0.95, 0.88, 0.96), "do not show that it is worse"),
        ((0.95, 0.9, 0.97), (0.95, 0.9, 0.97), "equally often right"),
        ((0.95, None, None), (0.93, 0.9, 0.97), "without intervals"),
    ],
)
def test_verdict(network, other, said):
    def scores(values):
        return {"accuracy": dict(zip(("value", "low", "high"), values, strict=True)), "n": 360}

    facts = {"test": scores(network), "baselines": [{"name": "linear", "test": scores(other)}]}
    assert said in verdict(facts)
    assert verdict({"test": scores(network)}) == ""


def test_a_score_of_some_of_the_classes_says_so_at_the_head():
    missing = {"share": "9 of 10 classes", "words": 'only 9 of 10 classes, no test row is "<b>"'}
    facts = made.run_json() | {"imbalance": {"unmeasured": missing}}
    facts["warnings"] = [missing["words"], "another"]
    head = words(page.render(facts)).split(" Scores Part ")[0]
    assert f"rows of 9 of 10 classes {100 * facts['test']['accuracy']['value']:.1f} % right" in head
    assert head.count('no test row is "<b>"') == 1 and "Warning. Another." in head
    facts["metric"] = {"name": "balanced_accuracy"}
    head = words(page.render(facts)).split(" Scores Part ")[0]
    assert "balanced accuracy of 9 of 10 classes" in head


def test_examples_that_cannot_be_drawn_are_left_out(tmp_path):
    run = made.write(tmp_path, made.run_json(), pictures=False)
    np.savez(run / "examples.npz", images=np.zeros((3, 2, 4, 4), np.uint8), labels=np.zeros(3, int))
    assert "data:image" not in page.write_report(run).read_text(encoding="utf-8")
    np.savez(run / "examples.npz", other=np.zeros(3))
    page.write_report(run)


def test_colour_pictures(tmp_path):
    run = made.write(tmp_path, made.run_json(), pictures=False)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 90, 60), dtype=np.uint8)
    np.savez(run / "examples.npz", images=images, labels=np.arange(40) % 20)
    text = page.write_report(run).read_text(encoding="utf-8")
    assert "data:image/png" in text
    assert len(text) < 1_000_000


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_folder_that_is_no_run(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json"):
        page.write_report(tmp_path)


def test_the_same_run_gives_the_same_page(tmp_path):
    run = made.write(tmp_path, made.run_json())
    first = page.write_report(run).read_bytes()
    assert page.write_report(run).read_bytes() == first
    assert json.loads((run / "run.json").read_text()) == made.run_json()


@pytest.mark.parametrize(
    ("schema", "dtype"),
    [
        (TableSchema((Column("a", "number"), Column("b", "number")), "y"), np.float32),
        (ImageSchema(1, 2, 2), np.uint8),
        (AudioSchema(4, 3), np.int16),
    ],
)
def test_every_fact_about_the_data_has_a_name(schema, dtype):
    inputs = np.arange(4 * np.prod(schema.shape)).reshape(4, *schema.shape).astype(dtype)
    labels = np.array([0, 1, 0, 1])
    data = Dataset(
        "d", schema, inputs, labels, ("no", "yes"), tuple("wxyz"), labels, ("p", "q"), labels > 0
    )
    table = data_table(data, facts(data), np.arange(4))
    assert set(table) <= {*DATA_NAMES, *DATA_ELSEWHERE}
    told = dict(data_rows(table))
    assert told["Rows of the official test part"] == "2"
    left_out = {"repeats"}
    left_out |= {"images": {"shape"}, "table": {"range", "shape"}}.get(
        schema.kind, {"range", "shape", "features"}
    )
    named = {DATA_NAMES[key] for key in table if key in DATA_NAMES and key not in left_out}
    assert set(told) == named
    if schema.kind == "images":  # one range over columns of several units would mean nothing
        assert told["Smallest to largest value"].startswith("0 to ")
