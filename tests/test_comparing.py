"""`compare`: mistakes told first, verdicts that are plain, losses in nats, folders, budgets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import trainwell as tw
from trainwell import cli, comparing
from trainwell.clock import now
from trainwell.comparing import compare, looks_up_to
from trainwell.errors import UserError
from trainwell.report.comparison import render_comparison
from trainwell.terminal import comparison

SHAPE = {"a", "b", "difference", "p", "verdict", "seeds_to_settle", "lower_is_better", "cells"}
GOOD, BROKEN = "lr=0.02; epochs=8", "lr=1e-9; epochs=8"


@pytest.fixture(scope="module")
def table():
    """Three classes that two numbers tell apart."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    return rng.normal(size=(240, 2)) + 3 * np.eye(3)[y][:, :2], y


@pytest.fixture(scope="module")
def csv_file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "three.csv"
    rows = [f"{a:.4f},{b:.4f},c{c}" for (a, b), c in zip(*table, strict=True)]
    path.write_text("\n".join(["a,b,class", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def against_broken(table):
    return compare(GOOD, BROKEN, table, folds=3, looks=(2,))


def test_a_broken_arm_is_worse(against_broken):
    found = against_broken.to_json()
    assert found["verdict"] == "worse"
    assert found["difference"]["high"] < 0 < found["p"] <= 0.05
    assert found["words"].startswith("worse by ")
    assert found["lower_is_better"] is False
    assert found["tuned"] == "Both learning rates were given; none was tuned."
    assert "B is worse by" in comparison(found, "page")


def test_losses_are_told_as_losses(table, against_broken):
    arena_free = against_broken.arms
    loss = compare(GOOD, BROKEN, table, folds=3, looks=(2,), metric="log_loss").to_json()
    assert loss["verdict"] == "worse"
    assert loss["lower_is_better"] is True
    assert loss["difference"]["low"] > 0  # B - A of the loss as such
    assert f"its log loss is higher by {loss['difference']['value']:.3f} nats" in loss["words"]
    assert (loss["unit"], loss["region"]) == ("nats", 0.01)
    for arm, key in zip(arena_free, "ab", strict=True):
        assert [c[key] for c in loss["cells"]] == arm.log_loss.tolist()
    mean = np.mean([c["a"] for c in loss["cells"]])
    assert mean > 0
    assert f"{mean:.4f}" in comparison(loss, "page")
    better = compare(BROKEN, GOOD, table, folds=3, looks=(2,), metric="log_loss").to_json()
    assert better["verdict"] == "better"
    assert "its log loss is lower by" in better["words"]
    assert better["difference"]["high"] < 0


def test_a_recipe_against_itself_is_neither_better_nor_worse(table):
    found = compare(GOOD, GOOD, table, folds=2, looks=(1, 2)).to_json()
    assert found["verdict"] not in ("better", "worse")
    assert "both recipes are the same" in found["words"]
    assert "would settle it" not in found["words"]
    assert found["seeds_to_settle"] in (None, 0)


def test_one_arm_that_tunes_is_warned_of(table):
    found = compare("epochs=4", "epochs=4; lr=0.01", table, folds=2, looks=(1,))
    assert found.ladders[0] is not None
    assert found.ladders[1] is None
    told = found.to_json()
    rates = len(found.ladders[0].rungs)
    assert f"of A was tuned: {rates} rates × 2 folds" in told["tuned"]
    assert told["notes"][0].startswith("only A tuned its learning rate")
    assert "warning: only A tuned" in comparison(told, "page")
    both = compare("epochs=3", "epochs=3; init=Xavier()", table, folds=2, looks=(1,)).to_json()
    assert "same number of trials" in both["tuned"]
    assert both["notes"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "f1"}, 'no metric "f1"'),
        ({"looks": ()}, "rising numbers of seeds"),
        ({"looks": (2, 1)}, "rising numbers of seeds"),
        ({"looks": (0, 1)}, "rising numbers of seeds"),
        ({"looks": (1.5,)}, "rising numbers of seeds"),
        ({"looks": 3}, "rising numbers of seeds"),
        ({"folds": 0}, "whole number from 1"),
        ({"folds": 2.5}, "whole number from 1"),
        ({"folds": True}, "whole number from 1"),
        ({"budget": "soon"}, "expected a time"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(change, words, monkeypatch):
    monkeypatch.setattr(comparing.Request, "read", lambda *args, **kwargs: pytest.fail("was read"))
    with pytest.raises(UserError, match=words):
        tw.compare("start", "start", "nowhere.csv", **change)


def test_mistakes_in_changes_name_the_recipe(table):
    with pytest.raises(UserError, match=r'^"epoch=3"'):
        compare("epoch=3", GOOD, table)


def test_the_accuracy_of_uneven_classes_is_warned_of(table):
    uneven = table[1] < 2
    uneven[np.flatnonzero(table[1] == 1)[15:]] = False  # 80 rows and 15
    data = table[0][uneven], table[1][uneven]
    quick = ("lr=0.02; epochs=2", "lr=0.01; epochs=2", data)
    found = compare(*quick, folds=2, looks=(1,))
    assert found.metric == "accuracy"
    (note,) = found.notes
    assert "accuracy decides here" in note
    assert "5.3 rows for one of the smallest" in note
    assert note.endswith("--metric balanced_accuracy")
    assert (found.rows_test, found.mcnemar_p) == ("McNemar's test", found.rows_p)
    assert compare(*quick, folds=2, looks=(1,), metric="accuracy").notes == ()
    told = compare(*quick, folds=2, looks=(1,), metric="balanced_accuracy").to_json()
    assert told["notes"] == []
    assert (told["rows_test"], told["mcnemar_p"]) == ("swap test", None)
    assert 0 < told["rows_p"] <= 1
    page = render_comparison(told)
    assert "swap test, p = " in page
    assert "McNemar" not in page + comparison(told, "page")


def test_threads_are_as_before(table):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        compare("lr=0.01; epochs=1", "lr=0.02; epochs=1", table, folds=2, looks=(1,))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_tuning_ends_with_its_share_of_the_budget(table, monkeypatch):
    """The deadline of the search lies at 40 % of the budget, and every arm still gets a rate."""
    asked = []

    class Arena(comparing.Arena):
        def tuned(self, recipes, deadline=None):
            asked.append(deadline)
            return super().tuned(recipes, now() - 1)  # over before it begins

    monkeypatch.setattr(comparing, "Arena", Arena)
    before = now()
    found = compare("epochs=2", "epochs=2; init=Xavier()", table, folds=2, looks=(1,), budget=1000)
    assert before + 390 < asked[0] < now() + 400
    assert any("ended the search" in note for note in found.notes)
    assert all(arm.recipe.lr for arm in found.arms)


def test_time_that_ends_before_the_first_trainings_is_told(table):
    with pytest.raises(UserError, match="time ended before both arms"):
        compare(
            "lr=0.01; epochs=100000; patience=100000; batch_size=2",
            "lr=0.02; epochs=1",
            (np.repeat(table[0], 200, axis=0), np.repeat(table[1], 200)),
            looks=(1,),
            budget=1,
        )


def test_looks():
    assert looks_up_to(4) == (1, 2, 4)
    assert looks_up_to(1) == (1,)


# ---- the command line -----------------------------------------------------------------------


def run(*args, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "trainwell", "compare", *map(str, args)],
        cwd=cwd,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_line(csv_file, tmp_path):
    out = tmp_path / "out"
    hostile = "lr=0.02;epochs=2"
    code, told, _ = run(
        hostile, "start", csv_file, "--folds", 2, "--seeds", 1, "--out", out, "--json", cwd=tmp_path
    )
    assert code == 0
    found = json.loads(told.splitlines()[-1])
    assert set(found) >= SHAPE
    assert set(found["difference"]) == {"value", "low", "high"}
    assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == found
    assert found["verdict"] in (out / "compare.html").read_text(encoding="utf-8")
    assert "1 seeds" not in told


def interrupted(stage, *args, cwd):
    """Ctrl-C a moment after a stage was told: exit code, output, errors."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trainwell", "compare", *map(str, args)],
        cwd=cwd,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Where the tests run in the background, Ctrl-C is switched off, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    try:
        for line in process.stderr:
            if line.startswith(stage):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        told, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    return process.returncode, told, said


ENDLESS = "epochs=100000; patience=100000; batch_size=2; lr=0.0001"


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
def test_ctrl_c_keeps_what_complete_seeds_say(csv_file, tmp_path):
    arms = ("lr=0.02; epochs=20", "lr=1e-9; epochs=20")
    options = ("--folds", 3, "--seeds", 1000, "--jobs", 1, "--out", "out", "--json")
    code, told, said = interrupted(
        "training both arms, seeds 5 to 8", *arms, csv_file, *options, cwd=tmp_path
    )
    assert code == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Interrupted; what the complete seeds say is in out")
    found = json.loads(told.splitlines()[-1])
    assert found["interrupted"] is True
    seeds = len(found["cells"]) // 3
    assert seeds >= 4
    words = f"interrupted; what is said rests on {seeds} seeds per fold, of 1000"
    assert found["notes"] == [words]
    assert found["verdict"] == "worse"  # nothing was spent yet: 5 % are left for this look
    assert f"warning: {words}" in told
    assert words in (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8")) == found


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
@pytest.mark.parametrize("first", [ENDLESS, ENDLESS.rpartition(";")[0]])
def test_ctrl_c_before_anything_is_complete(first, csv_file, tmp_path):
    """While the first seed trains, and while a rate is searched."""
    stage = "training" if "lr" in first else "tuning"
    arms = (first, ENDLESS)
    code, told, said = interrupted(stage, *arms, csv_file, "--jobs", 1, cwd=tmp_path)
    assert (code, told) == (130, "")
    assert said.splitlines()[-1].startswith("Interrupted.")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def here(monkeypatch, capsys):
    """The command line in this process: exit code, standard output and error."""

    def run_here(*args, cwd):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["trainwell", "compare", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run_here


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense", "start"),
        ("start", "epoch=3"),
        ("start", "start", "--target", "nothing"),
        ("start", "start", "--budget", "soon"),
        ("start", "start", "--metric", "f1"),
    ],
)
def test_mistakes_leave_nothing_behind(args, csv_file, tmp_path, here):
    recipes, options = args[:2], args[2:]
    code, told, said = here(*recipes, csv_file, *options, cwd=tmp_path)
    assert (code, told) == (2, "")
    assert said.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_told_before_the_work(csv_file, tmp_path, here):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("")
    for out, words in (("file", "cannot be written"), ("file/in", "cannot be"), ("full", "empty")):
        # The recipe is wrong too: what is told is what was looked at first.
        code, _, said = here("nonsense", "start", csv_file, "--out", out, cwd=tmp_path)
        assert code == 2
        assert words in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "full"]
