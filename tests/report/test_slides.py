"""Pictures of a report as files, and a gallery of runs."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import browser, made
from trainwell.cli import main
from trainwell.errors import DataError
from trainwell.report import page
from trainwell.report.gallery import write_gallery
from trainwell.report.slides import standalone, standalone_style, write_pictures


def test_every_picture_is_an_svg_that_stands_alone(tmp_path: Path) -> None:
    run = made.write(tmp_path / "run", made.run_json())
    written = write_pictures(run, tmp_path / "slides", "svg")
    assert {p.name for p in written} >= {"loss.svg", "confusion.svg", "ladder.svg", "examples.png"}
    for path in written:
        if path.suffix == ".png":
            assert Image.open(io.BytesIO(path.read_bytes())).size[0] > 10
            continue
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and float(root.attrib["width"]) > 100
        text = path.read_text(encoding="utf-8")
        assert "var(" not in text and 'class="hit"' not in text and "line single" not in text


def test_the_style_has_a_colour_for_each_part() -> None:
    style = standalone_style()
    assert re.search(r"\.line\.val[^{]*\{[^}]*stroke: #0b63a5", style)
    assert re.search(r"\.line\.train[^{]*\{[^}]*stroke: #b8560b", style)
    assert "var(" not in style
    with pytest.raises(ValueError, match="no picture"):
        standalone("<p>none</p>", style)


def test_a_png_has_the_colours_of_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    run = made.write(tmp_path / "run", made.run_json())
    written = {p.stem: p for p in write_pictures(run, tmp_path / "slides", "png")}
    pixels = np.asarray(Image.open(io.BytesIO(written["loss"].read_bytes())).convert("RGB"))
    flat = pixels.reshape(-1, 3).astype(int)
    for colour in ((11, 99, 165), (184, 86, 11)):  # the lines of validation and training
        assert (np.abs(flat - colour).max(axis=1) < 12).mean() > 0.001
    assert (flat > 250).all(axis=1).mean() > 0.5


def test_report_writes_pictures_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made.write(tmp_path / "run", made.run_json())
    monkeypatch.setattr("sys.argv", ["trainwell", "report", str(run), "--svg", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert str(run / "pictures" / "loss.svg") in told["pictures"]
    assert all(Path(p).is_file() for p in told["pictures"])


def test_a_gallery_groups_what_may_be_compared(tmp_path: Path) -> None:
    first = made.run_json(seed=0)
    second = made.run_json(seed=1)
    second["recipe"] = first["recipe"] | {"lr": 0.5}
    second["test"]["accuracy"]["value"] = first["test"]["accuracy"]["value"] + 0.001
    other = made.run_json(classes=3) | {"name": "<script>alert(1)</script>"}
    for name, facts in (("one", first), ("two", second), ("three & more", other)):
        page.write_report(made.write(tmp_path / name, facts))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{", encoding="utf-8")
    text = write_gallery(tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in text and text.count("<section>") == 3
    assert "three%20%26%20more/report.html" in text
    assert '<th scope="col">lr</th>' in text and '<th scope="col">model</th>' not in text
    assert "bad: Expecting property name" in text
    assert re.findall(r">(one|two)</a>", text) == ["two", "one"]


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")
def test_the_gallery_in_a_browser(tmp_path: Path) -> None:
    for name in ("one", "two"):
        page.write_report(made.write(tmp_path / name, made.run_json()))
    found = browser.look(write_gallery(tmp_path), 360, tmp_path / "scratch")
    assert found.console == () and found.requests == ()
    assert found.facts["nameless"] == [] and found.facts["sideways"] <= 0


def test_a_folder_without_runs_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        write_gallery(tmp_path)
