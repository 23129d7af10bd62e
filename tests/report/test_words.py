"""What a report says of its numbers: baselines, gaps, choices, data, contents."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers import made
from trainwell.report import figures, page, plots
from trainwell.report.augmented import augmented_sheet
from trainwell.report.data import column_rows, data_rows, sounds
from trainwell.report.gallery import write_gallery
from trainwell.report.media import playable
from trainwell.report.mistakes import cards
from trainwell.report.verdict import chosen, gap, verdict

NAMES = {"name": "n", "title": "t", "desc": "d"}


def told(text: str) -> str:
    """The words of a page."""
    text = re.sub(r"<(style|script).*?</\1>", " ", text, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def against(word: str, low: float, high: float, metric: str = "accuracy") -> dict[str, Any]:
    network = {"accuracy": {"value": 0.95, "low": 0.90, "high": 0.97}, "n": 360}
    linear = {"accuracy": {"value": 0.92, "low": 0.88, "high": 0.96}}
    found = {"metric": metric, "verdict": word, "difference": {"value": 0.03}}
    found["difference"] |= {"low": low, "high": high}
    return {"test": network, "baselines": [{"name": "linear", "test": linear, "against": found}]}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("better", "+1.0 to +5.0 points: on data like these, the network is better."),
        ("worse", "use linear instead."),
        ("no difference that matters", "so linear will do as well."),
        ("not shown", "these 360 rows alone do not show which of the two is better."),
    ],
)
def test_baselines_are_judged_on_the_same_rows(word, said):
    """The two intervals overlap, which decides nothing; the paired difference does."""
    assert said in verdict(against(word, 0.01, 0.05))
    assert "overlap" not in verdict(against(word, 0.01, 0.05))
    assert "overlap" in verdict(against(word, 0.01, 0.05, metric="macro_f1"))


def test_the_gap_is_that_of_single_networks():
    """The vote of all networks is better than one of them; that is no part of over-fitting."""
    facts = {
        "train": {"accuracy": {"value": 0.99}, "n": 500, "rows": 1150, "validation_accuracy": 0.9},
        "validation": {"accuracy": {"value": 0.95}},
    }
    assert "a gap of 9.0 points" in gap(facts)
    assert "a sample of 500 of 1,150 training rows" in gap(facts)
    old = {"train": {"accuracy": {"value": 0.99}}, "members": [{"validation_accuracy": 0.92}]}
    assert "a gap of 7.0 points" in gap(old)
    assert gap({"train": {"accuracy": {"value": 0.99}}, "validation": facts["validation"]}) == ""
    assert "Training, mean of single networks" in told(page.render(made.run_json()))


def test_only_what_was_chosen_in_this_run_is_listed():
    rate = {"log_loss": {"value": 0.5}}
    facts: dict[str, Any] = {"members": [{"epochs": 8}, {"epochs": 8}], "ladder": None}
    assert chosen(facts) == ["the best epoch of each network"]
    facts["ladder"] = {"rates": [rate, {"log_loss": {"value": None}}]}
    assert len(chosen(facts)) == 1  # one rate was tried: nothing was chosen
    facts["ladder"] = {"rates": [rate, rate]}
    facts["decisions"] = [
        {"tried": "Dropout(0.5)", "outcome": "adopted"},
        {"tried": "wider", "outcome": "not shown"},
    ]
    facts["recipe"] = {"balance": "ThresholdMove(metric='balanced_accuracy')"}
    facts["ensemble"] = {"members": 6, "kinds": [{}, {}], "kept": "ensemble"}
    listed = "; ".join(chosen(facts))
    for words in ("learning rate", "Dropout(0.5)", "thresholds", "weights and temperatures"):
        assert words in listed
    assert "wider" not in listed
    facts["ensemble"] = {}
    text = told(page.render(made.run_json() | facts))
    assert "what the coach changed (Dropout(0.5))" in text
    assert "which flatters their scores" in text


def test_how_often_the_rows_were_opened_on_this_machine_is_told():
    assert "4 times on this machine" in told(
        page.render(made.run_json() | {"test_openings_here": 4})
    )
    alone = told(page.render(made.run_json() | {"test_openings_here": 1}))
    assert "opened once" in alone and "on this machine" not in alone


def test_rates_that_were_not_tried_have_not_diverged():
    rungs = [plots.Rung(0.01, 0.5, 0.4, 0.6, False), plots.Rung(0.02, None, None, None, False)]
    shown = plots.ladder(rungs, 0.01, **NAMES)
    assert "0.02: not tried" in shown and "×" not in shown
    rungs[1] = plots.Rung(0.02, None, None, None, True)
    assert "0.02: diverged" in plots.ladder(rungs, 0.01, **NAMES)
    untried = {"lr": 0.1, "log_loss": {"value": None}, "accuracy": None, "diverged": False}
    text = page.render({"ladder": {"rates": [untried], "says": "no rate could be tried"}})
    assert "no rate could be tried" in text and "nothing was recorded" not in text


def test_long_names_of_classes_are_whole_where_there_is_room():
    names = ["premium contract", "business account"]
    shown = plots.confusion([[3, 1], [2, 4]], names, **NAMES)
    assert shown.count(">premium contract<") == 2 and "…" not in shown
    title = float(re.search(r'y="([\d.]+)">said by', shown)[1])
    turned = [float(y) for y in re.findall(r'y="([\d.]+)" transform="rotate\(-40', shown)]
    # Names go up from there at 40 degrees; what is 16 letters long ends below the title.
    assert min(turned) - 16 * 6.2 * np.sin(np.radians(40)) - 8 > title
    left = float(re.search(r'x="([\d.]+)" y="[\d.]+" text-anchor="end">premium', shown)[1])
    assert left - 16 * 6.9 > 12  # right of the turned title


def test_a_class_with_few_examples_leaves_its_places_empty():
    images = np.full((12, 1, 8, 8), 200, np.uint8)
    sheet = figures.contact_sheet({"classes": ["a", "b"]}, (images, np.repeat([0, 1], [10, 2])))
    data = base64.b64decode(sheet["source"].split(",")[1])
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    assert picture.size == (90, 18)
    assert [picture.getpixel((9 * k + 2, 11))[3] for k in range(4)] == [255, 255, 0, 0]


def test_augmented_examples_have_their_labels():
    arrays = {"clean": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([1, 0])}
    arrays["changed"] = np.zeros((3, 2, 1, 4, 4), np.uint8)
    facts = {"classes": ["boot", "bag"], "recipe": {"augment": "Shift()"}}
    sheet = augmented_sheet(facts, arrays)
    assert sheet["names"] == ["bag", "boot"]
    assert "<span>bag</span>" in page.render(facts, augmented=sheet)
    del arrays["labels"]
    assert augmented_sheet(facts, arrays)["names"] == []


def columns(count: int) -> dict[str, Any]:
    one = {"type": "number", "missing": 2, "low": 0.5, "high": 3.0}
    example = {"where": "d.csv, line 2", "label": "yes", "values": ["1.5"] * count}
    return {
        "range": [0, 300000],
        "features": count,
        "columns": [one | {"name": f"x{k}"} for k in range(count)],
        "examples": [example],
    }


def test_each_column_of_a_table_has_its_line():
    text = page.render({"data": columns(3)})
    assert "Smallest to largest value" not in text
    assert "x1 number 0.5 to 3 2 1.5" in told(text)
    assert "line 2 yes" in told(text)
    assert re.search(r"<details open>\s*<summary>3 columns", text)
    assert re.search(r"<details>\s*<summary>31 columns", page.render({"data": columns(31)}))
    assert column_rows({}) is None
    word = {"name": "c", "type": "category", "levels": 9, "frequent": {"red": 5, "blue": 2}}
    assert column_rows({"columns": [word]})["rows"][0]["holds"] == "9: red 5, blue 2, …"


def test_facts_about_clips_and_repeats_are_plain_words():
    clips = {"rate": 8000, "samples": 5000, "seconds": 0.625, "silent": 0}
    ends = {"shortest_seconds": 0.143375, "median_seconds": 0.39, "longest_seconds": 0.625}
    repeats = [["a.wav", "b.wav"]]
    rows = dict(data_rows({"clips": clips | ends, "duplicates": 1, "repeats": repeats}))
    assert "the sound in them lasts 0.14 to 0.62 s" in rows["Clips"]
    assert rows["The first of them"] == "b.wav repeats a.wav"
    assert "shortest_seconds" not in str(rows)


def test_a_clip_of_each_class_can_be_played():
    rng = np.random.default_rng(0)
    clips = rng.integers(-9000, 9000, (12, 441_000), dtype=np.int16)  # 10 s of noise at 44.1 kHz
    facts = {"classes": [f"c{k}" for k in range(12)], "data": {"clips": {"rate": 44_100}}}
    found = sounds(facts, (clips, np.arange(12)))
    assert [s["label"] for s in found] == facts["classes"]
    assert len(page.render(facts, examples=(clips, np.arange(12)))) < 1_500_000
    assert len(playable(clips[0], 44_100, 1)) < 120_000
    assert sounds(facts, None) == [] and sounds({}, (clips, np.arange(12))) == []


def test_ordinary_mistakes_say_so_and_rare_words_have_their_share():
    mistake = {"where": "line 3", "said": "a", "label": "b", "confidence": 0.9, "given": 0.1}
    rare = {"column": "colour", "value": "mauve", "share": 0.012}
    facts = {"kind": "table", "mistakes": [mistake | {"unusual": [rare]}, mistake]}
    text = told(page.render(facts))
    assert "colour = mauve 1.2 % of training rows have it" in text
    assert text.count("no unusual value") == 1
    assert "no unusual value" not in told(page.render(facts | {"kind": "images"}))
    assert cards(facts, None)[1]["ordinary"]


def test_contents_lead_to_every_section():
    text = page.render(made.run_json())
    shown = re.search(r'<nav class="contents".*?</nav>', text, flags=re.S)[0]
    links = re.findall(r'href="#([a-z-]+)"', shown)
    assert len(links) >= 8 and len(set(links)) == len(links)
    assert links == re.findall(r'<section id="([a-z-]+)"', text)
    assert "<section>" not in text
    assert re.search(r"@media print \{.*\.contents \{ display: none", text, flags=re.S)
    assert "<nav" not in page.render({})


def test_layers_are_numbered_and_the_machine_is_told_in_short():
    rows = [{"layer": name, "weight": 1.0, "spread": None} for name in ("0", "3", "7")]
    rows.append({"layer": "2", "weight": None, "spread": 1.0})
    facts = made.run_json() | {"initial": rows}
    facts["environment"] = facts["environment"] | {"execution": {"ladder0": {"how": "stacked"}}}
    text = told(page.render(facts))
    assert "layer 2 of 3" in text and "units 1 of 1" in text and "layer 7" not in text
    assert "Execution" not in text and "stacked" not in text


def test_the_gallery_names_the_folder_and_the_best_baseline(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    facts = made.run_json()
    for other in facts["baselines"]:
        other["against"] = {"verdict": "worse" if other["name"] == "linear" else "better"}
        other["test"]["accuracy"]["value"] = 0.999 if other["name"] == "linear" else 0.5
    made.write(folder / "first", facts)
    monkeypatch.chdir(folder)
    text = write_gallery(Path()).read_text(encoding="utf-8")
    assert "results 1 runs" in told(text)
    assert "linear 99.9 % baseline better" in told(text)
    assert "2026-11-23 16:00" in text and "T16:00" not in text
