"""The doctor's verbs end to end, as a subprocess: shapes of the JSON, exit codes, messages."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwell as tw
from trainwell.doctor.checkup import Checkup

FILES = Path(__file__).parent / "files"
CHECK = {"code", "name", "level", "value", "threshold", "words", "remedies"}
FINDING = {"code", "name", "level", "confidence", "evidence", "words", "remedies", "where"}
FAST = ("--set", "epochs=6", "--folds", "3", "--seeds", "1", "--quiet", "--no-coach")


def trainwell(*args: str | Path, cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "trainwell", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def last_json(out: str) -> Any:
    return json.loads(out.splitlines()[-1])


def write_leaking(path: Path, rows: int = 240) -> Path:
    """A class that two noisy numbers tell a little, a column that gives it away, and an id."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "outcome", "species"])
        for _ in range(rows):
            c = int(rng.integers(0, 2))
            a, b = rng.normal(c, 1.5), rng.normal(-c, 1.5)
            writer.writerow([f"{a:.3f}", f"{b:.3f}", f"{10 * c + rng.normal():.2f}", "xy"[c]])
    return path


def test_check_says_each_check_with_its_number(tmp_path: Path) -> None:
    code, out, _ = trainwell("check", "wine", "--json", cwd=tmp_path)
    assert code == 0
    checks = last_json(out)["checks"]
    assert all(set(c) >= CHECK for c in checks)
    assert {c["level"] for c in checks} <= {"pass", "note", "warning", "fault"}
    assert {"D01", "D05", "D08", "N03", "N12", "I05"} <= {c["code"] for c in checks}
    assert not [c for c in checks if c["level"] in ("fault", "warning")]
    assert "PASS" in out


def test_check_finds_a_column_that_gives_the_class_away(tmp_path: Path) -> None:
    path = write_leaking(tmp_path / "leak.csv")
    code, out, _ = trainwell("check", path, "--target", "species", "--json", cwd=tmp_path)
    assert code == 0
    (leak,) = (c for c in last_json(out)["checks"] if c["name"] == "leaking-column")
    assert leak["level"] in ("fault", "warning")
    assert "outcome" in leak["words"]


def test_check_looks_at_the_recipe(tmp_path: Path) -> None:
    found = tw.check_data("wine", settings={"init": "Zero()", "preprocess": "(Raw(),)"})
    assert isinstance(found, Checkup)
    levels = {c.code: c.level for c in found.checks if c.level in ("fault", "warning")}
    assert "I01" in levels
    assert "D01" in levels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "nowhere.csv"), "nowhere.csv"),
        (("check", "wine", "--set", "lr=-1"), "lr"),
        (("diagnose", "nowhere"), "does not exist"),
        (("diagnose", "."), "."),
        (("compare", "start", "wine"), "two recipes"),
    ],
)
def test_mistakes_get_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    code, out, err = trainwell(*arguments, cwd=tmp_path)
    assert code == 2
    assert message.lower() in err.lower()
    assert "Traceback" not in err + out


def test_a_rate_far_too_high_is_found_in_the_fit_and_again_by_diagnose(tmp_path: Path) -> None:
    settings = ("--set", "lr=50", "--set", "optimizer=Momentum()", "--set", "model=Mlp((16,))")
    norm = ("--set", "regularize=()")
    code, out, _ = trainwell(
        "fit", "wine", *FAST, *settings, *norm, "--out", "run", "--json", cwd=tmp_path
    )
    assert code == 0
    result = last_json(out)
    assert all(set(f) >= FINDING for f in result["findings"])
    heavy = [f["code"] for f in result["findings"] if f["level"] in ("fault", "warning")]
    assert "R02" in heavy[:2]
    assert "next     trainwell fit wine" in out
    assert json.loads((tmp_path / "run" / "findings.json").read_text()) == result["findings"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert 'id="findings"' in page
    assert "learning rate too high" in page
    assert 'class="region"' in page
    code, out, _ = trainwell("diagnose", "run", "--json", cwd=tmp_path)
    assert code == 0
    again = last_json(out)
    assert set(again) == {"findings", "not_decidable"}
    assert [f["code"] for f in again["findings"]] == [f["code"] for f in result["findings"]]


@pytest.mark.parametrize("name", ["keras.csv", "lightning.csv", "keras_tb", "skorch.json"])
def test_histories_of_others_are_diagnosed(name: str, tmp_path: Path) -> None:
    code, out, err = trainwell(
        "diagnose", FILES / name, "--classes", "10", "--val-rows", "540", "--json", cwd=tmp_path
    )
    assert code == 0, err
    found = last_json(out)
    assert found["not_decidable"]  # no layers in a log
    assert all(set(f) >= FINDING for f in found["findings"])
    assert not [f for f in found["findings"] if f["level"] == "fault"]


def test_a_log_that_blew_up_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = ["epoch,loss,val_loss", "0,2.3,2.4", "1,9.0,11", "2,55,80", "3,nan,nan", "4,nan,nan"]
    log.write_text("\n".join(rows) + "\n")
    code, out, _ = trainwell("diagnose", log, "--classes", "10", "--json", cwd=tmp_path)
    assert code == 0
    codes = [f["code"] for f in last_json(out)["findings"]]
    assert codes[0] in ("R01", "R02")
