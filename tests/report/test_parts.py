"""Mistakes, reliability and the coach's gains in the report."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest
from PIL import Image

from helpers import made
from trainwell.report import page
from trainwell.report.coaching import gains
from trainwell.report.media import wav_uri
from trainwell.report.mistakes import cards, picture_uri, spectrogram_uri


def opened(uri: str) -> bytes:
    return base64.b64decode(uri.split(",", 1)[1])


def test_a_sound_in_the_page_is_the_clip() -> None:
    clip = np.arange(-400, 400, dtype=np.int16) * 50
    with wave.open(io.BytesIO(opened(wav_uri(clip, 8000)))) as file:
        assert file.getframerate() == 8000
        assert np.array_equal(np.frombuffer(file.readframes(800), "<i2"), clip)


def test_a_tone_is_a_dark_line_at_its_height() -> None:
    seconds = np.arange(8000) / 8000
    clip = (8000 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.int16)
    image = np.asarray(Image.open(io.BytesIO(opened(spectrogram_uri(clip, 8000)))))
    darkest = image.mean(axis=1).argmin()
    assert darkest / len(image) == pytest.approx(1 - 1000 / 4000, abs=0.05)  # low tones below


def test_silence_and_a_very_short_clip_have_a_spectrogram() -> None:
    for clip in (np.zeros(4000, np.int16), np.zeros(3, np.int16)):
        assert Image.open(io.BytesIO(opened(spectrogram_uri(clip, 8000)))).size[1] == 64


def test_a_picture_keeps_its_pixels_and_a_large_one_is_reduced() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 6), dtype=np.uint8)
    found = np.asarray(Image.open(io.BytesIO(opened(picture_uri(pixels)))))
    assert np.array_equal(found.transpose(2, 0, 1), pixels)
    large = np.zeros((1, 500, 200), np.uint8)
    assert max(Image.open(io.BytesIO(opened(picture_uri(large)))).size) == 96


def test_mistakes_stand_in_the_page_as_text_with_a_picture() -> None:
    facts = made.run_json()
    facts["mistakes"][0] |= {"where": "<script>x</script>", "said": "<b>8</b>"}
    inputs = np.zeros((1, 1, 8, 8), np.uint8)
    shown = page.render(facts, mistakes=inputs)
    assert "Surest mistakes" in shown and "97 % sure" in shown and "width = 12.5" in shown
    assert "<script>x" not in shown and "<b>8" not in shown
    assert page.render(facts, mistakes=inputs).count("data:image/png") == 1
    assert not any("picture" in c for c in cards(facts, None))
    assert not any("picture" in c for c in cards(facts, np.zeros((2, 1, 8, 8), np.uint8)))


def test_a_clip_gets_a_player() -> None:
    facts = made.run_json()
    facts["data"]["clips"] = {"rate": 8000}
    shown = page.render(facts, mistakes=np.zeros((1, 4000), np.int16))
    assert shown.count("<audio controls") == 1 and "data:audio/wav;base64," in shown


def test_the_reliability_diagram_says_where_the_network_is_too_sure() -> None:
    facts = made.run_json()
    facts["reliability"] = [
        {
            "confidence": 0.9,
            "from": 0.8,
            "to": 0.99,
            "n": 100,
            "accuracy": {"value": 0.6, "low": 0.5, "high": 0.7},
        }
    ]
    shown = page.render(facts)
    assert "In 1 of 1 bins it is too sure" in shown and "Reliability diagram" in shown
    facts["reliability"][0]["accuracy"] = {"value": 0.92, "low": 0.85, "high": 0.96}
    assert "take its probabilities at their word" in page.render(facts)


def decision(tried: str, value: float | None, outcome: str) -> dict[str, object]:
    ends = None if value is None else {"value": value, "low": value - 0.01, "high": value + 0.01}
    return {
        "because": "gap",
        "tried": tried,
        "difference": ends,
        "placebo": 0.001,
        "outcome": outcome,
        "cost": 2.0,
    }


def test_gains_of_remedies_that_were_compared() -> None:
    rows = [decision("Dropout", 0.03, "adopted"), decision("MixUp", None, "screened out")]
    drawn = gains(rows, name="g", title="t", desc="d")
    assert "Dropout: +3.0 points (+2.0 to +4.0)" in drawn and "MixUp" not in drawn
    assert gains(rows[1:], name="g", title="t", desc="d") == ""
    facts = made.run_json() | {"decisions": rows}
    assert "What the coach tried" in page.render(facts)


def test_remedies_of_one_setting_are_told_apart_in_a_narrow_picture() -> None:
    names = ["LogitAdjust(tau=1.0, when='loss')", "LogitAdjust(tau=0.5, when='loss')"]
    rows = [decision(f"balance: {name}", 0.03, "adopted") for name in names]
    for width in (360, 720):
        drawn = gains(rows, name="g", title="t", desc="d", width=width)
        assert ">LogitAdjust(tau=1.0" in drawn and ">LogitAdjust(tau=0.5" in drawn
    other = gains([*rows, decision("Dropout", 0.0, "x")], name="g", title="t", desc="d")
    assert ">balance: LogitAdjust(tau=1.0" in other


def test_the_coach_in_the_page_in_words_and_numbers() -> None:
    """Compared remedies stand in the table, the others are folded away; codes are for files."""
    adopted = decision("a wider network", 0.03, "adopted") | {
        "reason": "learning rate too high",
        "because": "R02",
        "saw": "The loss rose.",
        "words": "better by 3.0 points (p over all held-out rows 1e-05)",
        "told": "better by 3.0 points; changed: learning rate 2 → 0.0175",
        "changes": {"lr": "0.0175"},
        "rates": [
            {"lr": lr, "epochs": epochs, "score": score}
            for lr, epochs, score in (
                (0.04, 3, 0.8),
                (0.007, 3, 0.85),
                (0.0175, 8, 0.9),
                (9.0, 3, None),
            )
        ],
    }
    short = decision("MixUp", None, "screened out") | {
        "reason": "gap between training and validation",
        "told": "reached 90.4 % in short trainings; others did better",
    }
    first = {
        "score_words": "79.0 %",
        "networks": 3,
        "diverged": 0,
        "findings": [{"name": "learning-rate-too-high", "code": "R02", "words": "It rose."}],
    }
    facts = made.run_json()
    facts |= {
        "decisions": [adopted, short],
        "coach": {"ran": True, "words": "2 remedies tried, 1 adopted", "first": first},
        "findings": [{"code": "D09", "name": "sorted-order", "level": "note", "words": "w"}],
        "ladder": None,
        "race": {"words": "rate 2 80.0 %; rate 1 85.0 %; shown to be better: none"},
        "recipe": facts["recipe"] | {"lr": "0.0175"},
    }
    shown = page.render(facts)
    section = shown[shown.index('id="decisions"') : shown.index("<h2>Learning rate</h2>")]
    assert shown.index('id="decisions"') > shown.index('id="findings"')
    table, folded = section.split("<details>")[:2]
    assert "learning rate too high" in table and ">R02<" not in table and ">gap<" not in section
    assert "p over all held-out rows 1e-05" in table and "MixUp" not in table
    assert "reached 90.4 % in short trainings; others did better" in folded
    assert (
        "The recipe as it was given reached 79.0 %" in table and "Learning rate too high." in table
    )
    assert "learning rate 2 → 0.0175" in table and 'class="right">+3.0' in table
    rate = shown[shown.index("<h2>Learning rate</h2>") :]
    assert "The coach chose the rate 0.0175" in rate and "chosen 0.0175" in rate
    assert "rate 2 80.0 %; rate 1 85.0 %" in rate and "diverged" in rate
    plain = decision("twice as wide", 0.0, "not shown") | {"words": "not shown: +0.0 points"}
    twice = page.render(facts | {"decisions": [plain]})
    assert "not shown<small>+0.0 points</small>" in twice  # the outcome is not said twice
    facts["recipe"]["lr"] = "0.5"  # of another kind of networks: the coach did not choose it
    assert "The coach chose the rate" not in page.render(facts)


def test_a_coach_that_did_not_run_says_why() -> None:
    facts = made.run_json() | {"coach": {"ran": False, "words": "not run, because it was late"}}
    assert "The coach: not run, because it was late." in page.render(facts)
