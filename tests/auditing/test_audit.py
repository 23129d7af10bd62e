"""The whole audit: planted verdicts, shapes of results, the command line, interruption."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch

import trainwell as tw
from helpers.data import clips, digits, pictures, table
from trainwell import cli
from trainwell.arms import Arena, cells_of
from trainwell.auditing.audit import audit, smaller
from trainwell.auditing.auditor import Auditor, Plan
from trainwell.auditing.contact import sheets
from trainwell.auditing.subjects import SampleMaker, Samples, subject_of
from trainwell.auditing.trials import Trials
from trainwell.auditing.worth import judge_of, worth_trying
from trainwell.data.split import make_split
from trainwell.errors import UserError
from trainwell.progress import Progress
from trainwell.recipe import Recipe
from trainwell.report.augmentation import answer, render_augmentation
from trainwell.techniques.augment.images import Rotate, Shift
from trainwell.techniques.augment.pixels import PixelNoise
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.models import Mlp
from trainwell.techniques.preprocess import LogMel, Standardize

QUICK = Recipe(
    model=Mlp((32,)), preprocess=(Standardize(per="channel"),), lr=0.005, epochs=12, batch_size=32
)


def upside_down(x):
    return x.flip(-1, -2)


def opposite(x):
    return -x


@pytest.fixture(scope="module")
def arena():
    data = digits()
    return Arena(data, make_split(data, seed=0, folds=5, test=0.2), jobs=1, steady=True)


def audited(arena, things, recipe=QUICK, strengths=(1.0,), sweep=(), combine=False):
    plan = Plan(strengths, sweep, tuple(cells_of(len(arena.split.folds), 2, 0, first=1)))
    subjects = [subject_of(t, i) for i, t in enumerate(things)]
    with Progress(quiet=True) as progress:
        auditor = Auditor(Trials(arena, recipe), plan, subjects, progress, combine=combine)
        return auditor.run()


def twice(data, rows, seed):
    return data.inputs[rows], data.labels[rows]


def wrong(data, rows, seed):
    return data.inputs[rows], (data.labels[rows] + 1) % 10


@pytest.fixture(scope="module")
def found(arena):
    held = np.concatenate([f.validation for f in arena.split.folds])
    copies = np.clip(arena.data.inputs[held].astype(int) + 3, 0, 255).astype(np.uint8)
    things = [
        upside_down,
        PixelNoise(0.0005),
        PixelNoise(3.0),
        SampleMaker("duplicates", twice),
        SampleMaker("wrong labels", wrong),
        Samples("copies of held-out rows", copies, arena.data.labels[held]),
    ]
    return audited(arena, things)


def test_planted_verdicts_on_digits(found):
    assert [a.verdict.word for a in found] == [
        "breaks labels",
        "useless",
        "harmful",
        "useless",
        "breaks labels",
        "leaks",
    ]


def test_a_six_that_becomes_a_nine_is_caught_and_named(found):
    labels = found[0].evidence.labels
    assert labels is not None and labels.worst is not None
    assert {labels.worst[0], labels.worst[1]} == {6, 9}
    assert '"6"' in found[0].verdict.words or '"9"' in found[0].verdict.words


def test_results_are_json_with_the_promised_fields(found):
    for one in found:
        told = json.loads(json.dumps(one.to_json()))
        assert set(told) >= {
            "name",
            "strength",
            "gain",
            "affinity",
            "diversity",
            "label_agreement",
            "verdict",
        }
        assert set(told["gain"]) == {"value", "low", "high"}
        assert len(told["cells"]) == 10


def test_extra_samples_train_with_equal_steps(arena):
    trials = Trials(arena, QUICK)
    cells = cells_of(5, 1, 0)
    bare = trials.train(None, cells)
    more = trials.train(subject_of(SampleMaker("twice", twice)), cells)
    assert bare is not None and more is not None
    for a, b in zip(bare.trained, more.trained, strict=True):
        assert a is not None and b is not None
        assert b.member.steps == a.member.steps
        assert len(b.member.train) == 2 * len(a.member.train)
        assert b.member.train.max() >= len(arena.data)


def test_held_out_rows_never_reach_the_makers(arena):
    seen = []

    def make(data, rows, seed):
        seen.append(rows)
        return data.inputs[rows[:20]], data.labels[rows[:20]]

    Trials(arena, QUICK).samples(subject_of(SampleMaker("m", make)))
    assert len(seen) == 5
    for rows, fold in zip(seen, arena.split.folds, strict=True):
        assert not np.isin(fold.validation, rows).any()


def half_round(x, strength):
    """Pictures turned by half a turn times the strength, in steps of a quarter."""
    return torch.rot90(x, round(2 * strength), (-2, -1)) if strength >= 0.5 else x.roll(1, -1)


def test_strengths_that_break_labels_are_not_chosen(arena):
    sweep = tuple(cells_of(5, 1, 0))[:2]
    plan = Plan((0.25, 0.3, 1.0), sweep, tuple(cells_of(5, 1, 0, first=1)))
    with Progress(quiet=True) as progress:
        trials = Trials(arena, dataclasses.replace(QUICK, epochs=3))
        auditor = Auditor(trials, plan, [subject_of(half_round)], progress, combine=False)
        one = auditor.run()[0]
    assert [s.evidence.breaks for s in one.steps] == [False, False, True]
    assert [s.gain is None for s in one.steps] == [False, False, True]
    assert one.subject.strength < 1


def test_what_is_worth_trying_is_said_without_training(arena, monkeypatch):
    arm = Trials(arena, QUICK).train(None, cells_of(5, 1, 0))
    assert arm is not None
    judge = judge_of(arena, arm)
    monkeypatch.setattr(Trials, "train", lambda *a, **k: pytest.fail("was trained"))
    assert worth_trying(Rotate(5), judge).trying
    refused = worth_trying(upside_down, judge)
    assert not refused.trying
    assert "breaks labels" in refused.words
    assert worth_trying(Jitter(1e-5), judge).words == "it changes nothing"


@pytest.mark.parametrize("kind", ["table", "images", "audio"])
def test_every_kind_of_data_gets_verdicts_sheets_and_a_page(kind):
    data = {"table": table(rows=150), "images": pictures(rows=120), "audio": clips(rows=90)}[kind]
    recipe = Recipe(model=Mlp((8,)), lr=0.01, epochs=2, batch_size=16)
    if kind == "audio":
        recipe = dataclasses.replace(recipe, preprocess=(LogMel(bands=12), Standardize()))
    found = _audit(data, recipe=recipe, seeds=1, folds=3, budget="1h")
    assert len(found.audited) >= 2
    shown = sheets(found)
    assert len(shown) == len(found.audited)
    page = render_augmentation(found.to_json(), shown)
    assert page.count("<h3>") == len(found.audited)
    if kind == "audio":
        assert "data:audio/wav;base64," in page
    if kind == "images":
        assert page.count("data:image/png;base64,") == len(found.audited)


def _audit(data, **options):
    """The audit of a data set in memory."""
    from trainwell.auditing import audit as auditing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing.Request, "read", lambda self: data)
        return audit("made", jobs=1, **options)


def test_copies_of_clips_leak_though_their_spectra_differ():
    data = clips(rows=150)
    recipe = Recipe(model=Mlp((8,)), lr=0.01, epochs=1, batch_size=16)
    recipe = dataclasses.replace(recipe, preprocess=(LogMel(bands=12), Standardize()))
    arena = Arena(data, make_split(data, seed=0, folds=3, test=0.2), jobs=1, steady=True)
    held = np.concatenate([f.validation for f in arena.split.folds])
    noise = np.random.default_rng(0).normal(0, 60, data.inputs[held].shape)
    near = (data.inputs[held] + noise).clip(-32768, 32767).astype(np.int16)
    arm = Trials(arena, recipe).train(None, cells_of(3, 1, 0))
    assert arm is not None
    judge = judge_of(arena, arm)
    assert judge.look(subject_of(Samples("near", near, data.labels[held]))).leaks
    assert not judge.look(subject_of(SampleMaker("train", twice))).leaks


def test_words_from_data_are_escaped():
    row = {
        "name": "<script>x</script>",
        "verdict": "not shown",
        "strength": 1.0,
        "words": "<b>",
        "gain": {"value": 0.0, "low": None, "high": None},
        "shifted": {},
        "by_strength": [],
        "diversity": None,
        **dict.fromkeys(("label_agreement", "affinity", "told_apart", "coverage", "realism")),
    }
    page = render_augmentation(
        {"data": "<i>", "augmentations": [row], "notes": ["<u>"], "use": "()", "recipe": {}}, []
    )
    for bad in ("<script>x", "<b>", "<i>", "<u>"):
        assert bad not in page


def test_the_answer_names_what_helps_most():
    rows = [
        {"name": n, "verdict": v, "gain": {"value": g}}
        for n, v, g in (("A", "helps", 0.01), ("B", "helps", 0.03), ("C", "harmful", -0.1))
    ]
    assert answer(rows) == "2 help; B most"
    assert answer(rows[:1]) == "A helps"
    assert answer(rows[2:]) == "none is shown to help"


def test_fewer_rows_than_there_are_is_said():
    data = table(rows=400)
    split = make_split(data, seed=0, folds=3, test=0.2)
    few, notes = smaller(data, split, 100, 0)
    assert "100 of 320 rows" in notes[0]
    for fold, whole in zip(few.folds, split.folds, strict=True):
        assert np.isin(fold.train, whole.train).all()
        assert np.isin(fold.validation, whole.validation).all()
    assert sum(len(f.validation) for f in few.folds) == 100
    assert smaller(data, split, 1000, 0)[1] == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strengths": ()}, "--strengths"),
        ({"strengths": (0,)}, "--strengths"),
        ({"folds": 1}, "--folds"),
        ({"seeds": 0}, "--seeds"),
        ({"rows": 3}, "--rows"),
        ({"own": ("mine.py:f",)}, "--trust"),
        ({"budget": "soon"}, "expected a time"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(options, words):
    with pytest.raises(UserError, match=words):
        tw.audit("nowhere.csv", **options)


def _run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["trainwell", "augment", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr()
    return end.value.code or 0, told.out, told.err


def test_the_command_line_from_end_to_end(tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text("def still(x):\n    return x\n", encoding="utf-8")
    data = table(rows=150)
    source = tmp_path / "points.csv"
    rows = [
        ",".join([*map(str, x), f"c{y}"]) for x, y in zip(data.inputs, data.labels, strict=True)
    ]
    source.write_text("\n".join(["a,b,c,d,e,y", *rows]), encoding="utf-8")
    out = tmp_path / "out"
    options = ("--set", "lr=0.01", "--set", "epochs=3", "--folds", 3, "--jobs", 1, "--quiet")
    code, text, errors = _run(
        monkeypatch,
        capsys,
        *(source, "--target", "y", "--only", "Jitter", "--own", f"{mine}:still", "--trust"),
        *("--strengths", "1", "--out", out, "--json", *options),
    )
    assert code == 0, errors
    told = json.loads(text.splitlines()[-1])
    names = [a["name"] for a in told["augmentations"]]
    assert names == ["Jitter", "still"]
    assert told["augmentations"][1]["verdict"] == "useless"
    assert json.loads((out / "augment.json").read_text()) == told
    assert "still" in (out / "augment.html").read_text(encoding="utf-8")
    code, _, errors = _run(monkeypatch, capsys, source, "--target", "y", "--only", "Jiter")
    assert code == 2
    assert 'Did you mean "Jitter"' in errors
    code, _, errors = _run(monkeypatch, capsys, source, "--strengths", "one")
    assert code == 2
    assert "numbers separated by commas" in errors


def test_what_was_audited_before_an_interruption_is_kept(arena, monkeypatch):
    trials = Trials(arena, QUICK)
    plan = Plan((1.0,), (), tuple(cells_of(5, 1, 0)))
    with Progress(quiet=True) as progress:
        subjects = [subject_of(Shift(0.5)), subject_of(Rotate())]
        auditor = Auditor(trials, plan, subjects, progress)
        monkeypatch.setattr(progress, "stage", lambda w: _stop_at(trials, w, "Rotate (2 of 2)"))
        found = auditor.run()
    arena.stop = False
    assert [a.subject.name for a in found] == ["Shift(pixels=0.5)"]
    assert auditor.notes == ["interrupted before these were audited: Rotate"]


def _stop_at(trials, words, where):
    if words == where:
        trials.stop = True


def test_what_needs_no_training_is_kept_when_time_ends(arena, monkeypatch):
    trials = Trials(arena, QUICK)
    plan = Plan((1.0,), (), tuple(cells_of(5, 1, 0)))
    with Progress(quiet=True) as progress:
        subjects = [subject_of(Shift(0.5)), subject_of(upside_down)]
        auditor = Auditor(trials, plan, subjects, progress)

        def stage(words):
            if words.startswith("upside_down"):
                auditor.deadline = 0.0

        monkeypatch.setattr(progress, "stage", stage)
        first, last = auditor.run()
    assert first.found is not None and last.found is None
    assert last.verdict.word == "breaks labels" and "not trained" in last.verdict.words
    assert any("before these were trained: upside_down" in note for note in auditor.notes)
    rows = [a.to_json() for a in (first, last)]
    assert rows[1]["gain"] is None and "1 of 2 not trained" in answer(rows)


def not_finite(x):
    return x * float("nan")


def test_a_function_that_fails_is_told_before_anything_is_trained(arena, monkeypatch):
    monkeypatch.setattr(Trials, "train", lambda *a, **k: pytest.fail("was trained"))
    with pytest.raises(UserError, match="not finite"):
        audited(arena, [not_finite])
    with pytest.raises(UserError, match='no "nowhere"'):
        tw.audit("nowhere.csv", own=("tests/helpers/data.py:nowhere",), trust=True)


def test_a_given_sample_is_judged_once(arena):
    rows = arena.split.development[:60]
    samples = Samples("s", arena.data.inputs[rows], arena.data.labels[rows])
    trials = Trials(arena, QUICK)
    arm = trials.train(None, cells_of(5, 1, 0))
    assert arm is not None
    labels = judge_of(arena, arm).look(subject_of(samples)).labels
    assert labels is not None and labels.rows == 60


def test_functions_without_a_strength_are_not_tried_beyond_all_examples():
    assert subject_of(upside_down).most == 1.0
    assert subject_of(half_round).most == float("inf") == subject_of(Rotate()).most
