"""Pictures are well-formed, say the right numbers, and stand odd inputs."""

from __future__ import annotations

import base64
import io
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainwell.report import plots, svg

NAMES = {"name": "p", "title": "Title <&>", "desc": 'Said "so"'}


def tree(text):
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"
    assert [root[0].tag, root[1].tag] == ["title", "desc"]
    assert root[0].text == "Title <&>"
    assert "nan" not in text.lower()
    assert "inf" not in text.lower().replace("info", "")
    return root


def texts(root):
    return [t.text for t in root.iter("text")]


def series(values, part="val", spread=0.1):
    mean = np.asarray(values, dtype=float)
    epochs = np.arange(1.0, len(mean) + 1)
    return plots.Series(part, part, epochs, mean, mean - spread, mean + spread)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [math.nan, 2.0, math.nan], [math.nan]])
@pytest.mark.parametrize("percent", [True, False])
def test_curves_of_few_values(values, percent):
    tree(plots.curves([series(values)], percent=percent, best=[1, math.nan], **NAMES))


def test_no_curves():
    assert "nothing was recorded" in texts(tree(plots.curves([], **NAMES)))


def test_long_curves_are_decimated():
    noisy = np.random.default_rng(0).random(20_000)
    text = plots.curves([series(noisy), series(noisy, "train")], best=[700], **NAMES)
    root = tree(text)
    for line in root.iter("path"):
        assert line.attrib["d"].count("L") <= 2 * 356
    assert len(text) < 60_000


def test_decimated_lines_keep_their_peaks():
    values = np.zeros(5000)
    values[1234] = 0.9
    root = tree(plots.curves([series(values, spread=0)], percent=True, **NAMES))
    (line,) = [p for p in root.iter("path") if p.attrib["class"] == "line val"]
    heights = [float(point.split()[1]) for point in line.attrib["d"][1:].split("L")]
    assert max(heights) - min(heights) > 100


def test_one_wild_loss_does_not_flatten_the_rest():
    values = np.r_[1e6, np.linspace(1, 0.1, 50)]
    root = tree(plots.curves([series(values, spread=0)], **NAMES))
    assert not any("000000" in (t or "") for t in texts(root))


def test_curves_read_out_their_values():
    root = tree(plots.curves([series([0.5, 0.75])], percent=True, **NAMES))
    tips = [t.text for t in root.iter("title")]
    assert "epoch 2\nval 75.0 % (65.0 % to 85.0 %)" in tips


def test_intervals_say_their_numbers():
    rows = [
        plots.Row("net <b>", 0.983, 0.964, 0.992, "val", "98.3 %"),
        plots.Row("linear", 0.96, 0.93, 0.98, "muted", "96.0 %"),
        plots.Row("majority", 0.1, 0.08, 0.12, "muted", "10.0 %"),
        plots.Row("old", 0.95, None, None),
        plots.Row("none", None, None, None),
    ]
    root = tree(plots.intervals(rows, **NAMES))
    assert {"net <b>", "98.3 %", "◂ far below", "no examples"} <= set(texts(root))
    assert any("96.4 % to 99.2 %" in (t.text or "") for t in root.iter("title"))
    tree(plots.intervals([], **NAMES))
    tree(plots.intervals([plots.Row("x", 1.0, 1.0, 1.0)], **NAMES))


def test_recall_shows_the_lowest():
    rows = [plots.Row(f"c{i}", i / 100, 0.0, 1.0) for i in range(100)]
    shown = texts(tree(plots.recall(rows, **NAMES)))
    assert "c0" in shown
    assert "c99" not in shown


def test_ladder():
    rungs = [
        plots.Rung(0.01, 0.5, 0.4, 0.6),
        plots.Rung(0.1, 0.2, 0.1, 0.3),
        plots.Rung(1.0, None, None, None, True),
        plots.Rung(10.0, math.nan, None, None),
    ]
    shown = texts(tree(plots.ladder(rungs, 0.1, **NAMES)))
    assert "chosen 0.1" in shown
    assert shown.count("×") == 2
    tree(plots.ladder(rungs[:1], None, **NAMES))
    tree(plots.ladder(rungs[2:], None, **NAMES))
    tree(plots.ladder([], None, **NAMES))


@pytest.mark.parametrize("size", [0, 1, 2, 12, 30, 31, 100])
def test_confusion(size):
    table = np.eye(size, dtype=int) * 7 + (np.arange(size) % 3 == 0)
    root = tree(plots.confusion(table.tolist(), [f"<{i}>" for i in range(size)], **NAMES))
    assert ("<0>" in texts(root)) == (0 < size <= 30)
    if size == 12:
        assert "8" in texts(root)
    tips = [t.text or "" for t in root.iter("title")]
    assert any(t.startswith("<0> said to be <0>: 8 of") for t in tips) == (size > 0)


@pytest.mark.parametrize("size", [0, 1, 40, 41, 300])
def test_bars(size):
    tree(plots.bars([(f"class & {i}", i) for i in range(size)], **NAMES))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_thumbnails(channels):
    images = np.full((5, channels, 8, 8), 200, np.uint8)
    uri = plots.thumbnails(images, columns=3)
    picture = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert picture.size == (27, 18)
    assert picture.getpixel((0, 0))[0] == 200
    assert picture.getpixel((20, 10))[3] == 0  # the sixth place is free
    with pytest.raises(ValueError, match="pictures"):
        plots.thumbnails(np.zeros((2, 5, 8, 8), np.uint8))


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_words_are_escaped(label, title):
    text = plots.bars([(label, 3)], name="p", title=title, desc=label)
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_round_and_inside(low, size, count):
    scale = svg.Scale(low, low + size, 0, 100)
    ticks = scale.ticks(count)
    assert len(ticks) <= count + 2
    assert all(low - 1e-6 * size <= t <= scale.high + 1e-6 * size for t in ticks)


@given(st.floats(1e-6, 1.0), st.floats(1.5, 1e6))
def test_log_ticks(low, factor):
    ticks = svg.Scale(low, low * factor, 0, 100, log=True).ticks()
    assert all(low * 0.99 <= t <= low * factor * 1.01 for t in ticks)
    assert len(ticks) <= 8
