"""Logs of other tools: real files of their writers, and files broken in every usual way."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.foreign import MOST_POINTS, read_histories, read_history, what_is_known
from trainwell.doctor.history_columns import understand
from trainwell.doctor.tensorboard import _masked, scalars
from trainwell.errors import UserError

FILES = Path(__file__).parent / "files"
ALL = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}


def write(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("keras.csv", ALL),
        ("keras_semicolon.csv", ALL),
        ("lightning.csv", ALL | {"lr"}),
        ("fastai.csv", ALL - {"train_accuracy"}),
        ("skorch.json", ALL - {"train_accuracy"}),
        ("keras_tb", ALL | {"lr"}),
        ("lightning_tb", ALL | {"lr"}),
        ("torch_tb", ALL - {"train_accuracy"}),
    ],
)
def test_real_logs_are_understood(name: str, known: set[str]) -> None:
    evidence = read_history(FILES / name)
    assert set(evidence.series) == known
    assert evidence.points.tolist() == [1, 2, 3, 4, 5, 6]
    assert evidence.unit == "epoch"
    assert not evidence.clean_train
    assert evidence.diverged == (False,)
    loss = evidence.series["train_loss"][0]
    assert loss[-1] < loss[0] / 3, "the digits are learned"
    assert np.isfinite(evidence.series["val_loss"]).all()
    assert 0.5 < evidence.series["val_accuracy"][0, -1] <= 1
    assert str(FILES / name) in what_is_known(evidence)


def test_numbers_of_keras_are_those_in_the_file() -> None:
    evidence = read_history(FILES / "keras.csv", classes=10, val_rows=540)
    assert evidence.series["train_loss"][0, 0] == 1.3041434288024902
    assert evidence.series["val_accuracy"][0, 1] == 0.9296296238899231
    assert (evidence.classes, evidence.val_rows) == (10, 540)
    assert evidence.best == (int(evidence.series["val_loss"][0].argmin()) + 1,)


def test_lightning_in_both_forms_has_the_same_numbers() -> None:
    text, events = read_history(FILES / "lightning.csv"), read_history(FILES / "lightning_tb")
    for name in sorted(ALL):
        np.testing.assert_allclose(text.series[name], events.series[name], rtol=1e-6)
    assert text.setup.lr == pytest.approx(0.01)
    assert text.setup.schedule == "Constant"


def test_several_files_are_members() -> None:
    evidence = read_histories([FILES / "keras.csv", FILES / "fastai.csv"])
    assert evidence.members == 2
    assert np.isnan(evidence.series["train_accuracy"][1]).all()


def test_own_history_has_members_and_clean_scores(tmp_path: Path) -> None:
    lines = ["member,epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_error"]
    lines += [f"{m},{e},0.1,{1 / e},0.9,{1 / e},0.8,0.01" for m in range(2) for e in (1, 2, 3)]
    evidence = read_history(write(tmp_path, "\n".join(lines), "history.csv"))
    assert evidence.series["val_error"].tolist() == [[0.01] * 3] * 2
    assert evidence.clean_train
    assert evidence.setup.lr == 0.1


@pytest.mark.parametrize(
    ("header", "row", "series", "value"),
    [
        ("epoch\ttraining loss\tvalidation accuracy", "1\t0.5\t93.5", "val_accuracy", 0.935),
        ("Epoch;Train Loss;Val Error (%)", "1;0,5;20", "val_accuracy", 0.8),
        ("iteration,trainLoss,devAcc", "1,0.5,0.75", "val_accuracy", 0.75),
        ("step,loss,test_accuracy", "1,0.5,0.75", "val_accuracy", 0.75),
        ("epoch,train/cross_entropy,lr", "1,0.5,0.1", "train_loss", 0.5),
        ("epoch,loss,sparse_categorical_accuracy", "1,0.5,0.6", "train_accuracy", 0.6),
        ("epoch,train_loss,val_error_rate", "1,0.5,0.25", "val_accuracy", 0.75),
    ],
)
def test_names_that_people_use(
    tmp_path: Path, header: str, row: str, series: str, value: float
) -> None:
    evidence = read_history(write(tmp_path, f"\ufeff{header}\r\n{row}\r\n"))
    assert evidence.series[series][0, 0] == pytest.approx(value)


def test_columns_that_are_not_understood_are_named() -> None:
    columns = understand(["epoch", "loss", "top5_acc", "time", "val_loss_best", "f1", "grad_norm"])
    assert dict(columns.series) == {"train_loss": "loss"}
    assert columns.ignored == ("top5_acc", "time", "val_loss_best", "f1", "grad_norm")


def test_a_test_set_does_not_push_a_validation_set_aside() -> None:
    columns = understand(["epoch", "test_loss", "val_loss", "train_loss"])
    assert columns.series["val_loss"] == "val_loss"
    assert columns.ignored == ("test_loss",)


def test_a_resumed_training_keeps_its_last_values(tmp_path: Path) -> None:
    text = "epoch,loss\n1,5\n2,4\n3,3\n2,2.5\n3,2\n4,1\nepoch,loss\n4,0.5\n"
    evidence = read_history(write(tmp_path, text))
    assert evidence.points.tolist() == [1, 2, 3, 4]
    assert evidence.series["train_loss"].tolist() == [[5, 2.5, 2, 0.5]]


def test_steps_of_an_epoch_are_averaged(tmp_path: Path) -> None:
    text = "epoch,step,loss,val_loss\n0,1,4,\n0,2,2,\n0,2,,3\n1,3,2,\n1,4,1,\n1,4,,2\n"
    evidence = read_history(write(tmp_path, text))
    assert evidence.series["train_loss"].tolist() == [[3, 1.5]]
    assert evidence.series["val_loss"].tolist() == [[3, 2]]


def test_nan_is_divergence_and_an_empty_cell_is_not(tmp_path: Path) -> None:
    gone = read_history(write(tmp_path, "epoch,loss,acc\n1,2.3,0.1\n2,nan,0.1\n3,NaN,0.1\n"))
    assert gone.diverged == (True,)
    assert np.isnan(gone.series["train_loss"]).tolist() == [[False, True, True]]
    empty = read_history(write(tmp_path, "epoch,loss,acc\n1,2.3,0.1\n2,,0.1\n3,n/a,\n"))
    assert empty.diverged == (False,)
    assert empty.points.tolist() == [1, 2]
    assert read_history(write(tmp_path, "epoch,loss\n1,2\n2,inf\n")).diverged == (True,)


def test_texts_among_numbers_are_counted_and_said(tmp_path: Path) -> None:
    text = "epoch,loss,acc\n1,2,0.1\n2,oops,0.2\n3,1,0.3\n4,0.5,0.4\n"
    evidence = read_history(write(tmp_path, text))
    assert np.isnan(evidence.series["train_loss"][0, 1])
    assert "loss: 1 cells are not numbers" in evidence.source


def test_one_row_and_a_last_line_cut_off(tmp_path: Path) -> None:
    assert read_history(write(tmp_path, "loss,acc\n0.5,0.9")).points.tolist() == [1]
    evidence = read_history(write(tmp_path, "epoch,loss,acc\n1,0.5,0.9\n2,0.4"))
    assert evidence.series["train_loss"].tolist() == [[0.5, 0.4]]


def test_long_logs_are_averaged(tmp_path: Path) -> None:
    steps = np.arange(1, 200_001)
    rows = "\n".join(f"{s},{2 - s / 2e5:.6f}" for s in steps)
    evidence = read_history(write(tmp_path, f"step,loss\n{rows}\n"))
    assert evidence.unit == "step"
    assert len(evidence.points) == MOST_POINTS
    assert evidence.points[-1] == 200_000
    assert evidence.series["train_loss"][0, 0] == pytest.approx(2 - 50.5 / 2e5, abs=1e-5)
    assert "averaged" in evidence.source


def test_members_by_a_column_of_texts(tmp_path: Path) -> None:
    text = "run,epoch,loss\na,1,3\na,2,2\nb,1,4\nb,2,1\nb,3,0.5\n"
    evidence = read_history(write(tmp_path, text))
    assert evidence.members == 2
    assert np.isnan(evidence.series["train_loss"][0, 2])


def test_records_of_transformers_and_json_lines(tmp_path: Path) -> None:
    log = [
        {"loss": 2.0, "learning_rate": 1e-4, "epoch": 0.5, "step": 10},
        {"eval_loss": 1.5, "eval_accuracy": 0.4, "epoch": 0.5, "step": 10},
        {"loss": 1.0, "learning_rate": 5e-5, "epoch": 1.0, "step": 20},
        {"eval_loss": 1.2, "eval_accuracy": 0.6, "epoch": 1.0, "step": 20},
    ]
    whole = write(tmp_path, json.dumps({"log_history": log}), "trainer_state.json")
    lines = write(tmp_path, "\n".join(json.dumps(r) for r in log) + '\n{"loss": 0', "log.jsonl")
    for path in (whole, lines):
        evidence = read_history(path)
        assert evidence.points.tolist() == [10, 20]
        assert evidence.series["val_accuracy"].tolist() == [[0.4, 0.6]]
        assert evidence.series["lr"].tolist() == [[1e-4, 5e-5]]


def test_the_history_object_of_keras(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"loss": [2, 1], "val_loss": [3, 2]}), "history.json")
    assert read_history(path).series["val_loss"].tolist() == [[3, 2]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("epoch,loss\n", "got none"),
        ("1,2\n2,3\n", "expected names of columns"),
        ("epoch,time\n1,2\n", "such as train_loss"),
        ("a,b\nx,y\n", "such as train_loss"),
        ("\x00\x01\x02", "got bytes"),
        ('{"loss": \n', "one JSON object a line"),
    ],
)
def test_files_that_say_nothing_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_history(write(tmp_path, text))


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_history(tmp_path / "no.csv")
    with pytest.raises(UserError, match="found none"):
        read_history(tmp_path)
    with pytest.raises(UserError, match="got none"):
        read_histories([])
    step = write(tmp_path, "step,loss\n10,1\n20,2\n", "steps.csv")
    with pytest.raises(UserError, match="others count steps"):
        read_histories([FILES / "keras.csv", step])


@given(st.text(max_size=300))
def test_no_text_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "log.csv"
    path.write_bytes(text.encode("utf-8", "replace"))
    with contextlib.suppress(UserError):
        what_is_known(read_history(path))


GAPS = {
    "empty cell at the end": "epoch,loss,val_loss\n0,2.1,2.0\n1,1.5,1.6\n2,1.1,1.3\n3,0.9,1.1\n"
    "4,0.7,1.0\n5,0.6,0.9\n6,0.55,\n",
    "every second epoch": "epoch,loss,val_loss\n"
    + "".join(
        f"{e},{2 / (1 + e):.3f},{'' if e % 2 else f'{2.1 / (1 + e):.3f}'}\n" for e in range(10)
    ),
    "every second epoch, as nan": "epoch,loss,val_loss\n"
    + "".join(
        f"{e},{2 / (1 + e):.3f},{'nan' if e % 2 else f'{2.1 / (1 + e):.3f}'}\n" for e in range(10)
    ),
    "lists of unequal length": json.dumps(
        {"loss": [2 / (1 + e) for e in range(9)], "val_loss": [2.1 / (1 + e) for e in range(8)]}
    ),
    "killed in an epoch": "\n".join(
        json.dumps(
            {"epoch": e, "loss": 2 / (1 + e)} | ({"val_loss": 2.1 / (1 + e)} if e < 8 else {})
        )
        for e in range(9)
    )
    + '\n{"epoch": 9, "lo',
    "nan between numbers": "epoch,loss\n"
    + "".join(f"{e},{'nan' if e == 4 else f'{2 / (1 + e):.3f}'}\n" for e in range(10)),
    "a validation without rows": "epoch,loss,val_loss\n"
    + "".join(f"{e},{2 / (1 + e):.3f},nan\n" for e in range(10)),
}


@pytest.mark.parametrize("text", GAPS.values(), ids=GAPS)
def test_what_was_not_measured_is_no_divergence(tmp_path: Path, text: str) -> None:
    evidence = read_history(write(tmp_path, text), classes=10, val_rows=500)
    assert evidence.diverged == (False,)
    found = {f.code: f.level for f in diagnose(evidence).findings}
    assert {"R01", "R02"}.isdisjoint(found), found


@pytest.mark.parametrize("word", ["nan", "inf"])
def test_a_loss_that_ends_without_a_number_is_divergence(tmp_path: Path, word: str) -> None:
    text = f"epoch,loss,val_loss\n0,2.1,2.0\n1,1.5,1.6\n2,9.1,9.3\n3,{word},{word}\n"
    evidence = read_history(write(tmp_path, text), classes=10)
    assert evidence.diverged == (True,)
    assert "R01" in {f.code for f in diagnose(evidence).findings}


def test_negative_losses_break_no_rule_of_ratios(tmp_path: Path) -> None:
    falling = "".join(
        f"{e},{-np.log(1 + e) + (e > 12):.4f},{-np.log(1 + e):.4f}\n" for e in range(20)
    )
    evidence = read_history(write(tmp_path, "epoch,loss,val_loss\n" + falling), 10, 500)
    assert not [f for f in diagnose(evidence).findings if f.level != "note"]
    assert {"R02", "R03", "R10", "R11"}.isdisjoint({f.code for f in diagnose(evidence).findings})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "[" + "9" * 5000 + "]"])
def test_json_that_is_too_deep_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="JSON object"):
        read_history(write(tmp_path, text, "log.json"))


def test_words_of_many_columns_stay_short(tmp_path: Path) -> None:
    names = ["epoch", "loss", *(f"weight{i}" for i in range(2000))]
    rows = [",".join(["1"] * len(names))] * 3
    evidence = read_history(write(tmp_path, "\n".join([",".join(names), *rows])))
    assert "and 1980 more" in evidence.source


def test_runs_that_differ_are_not_joined() -> None:
    with pytest.raises(UserError, match="found 3 that differ"):
        read_history(FILES)
    shown = read_history(FILES / "keras_tb")
    assert shown.members == 1


def test_runs_side_by_side_are_members(tmp_path: Path) -> None:
    source = next((FILES / "torch_tb").iterdir())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(source, tmp_path / name)
    assert read_history(tmp_path).members == 2


def events() -> bytes:
    return next((FILES / "torch_tb").iterdir()).read_bytes()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_a_cut_event_file_gives_what_is_whole(tmp_path: Path, share: float) -> None:
    data, path = events(), tmp_path / "events.out.tfevents.1"
    whole = scalars(next((FILES / "torch_tb").iterdir()))
    path.write_bytes(data[: int(share * len(data))])
    found = scalars(path)
    assert found == whole[: len(found)]
    assert 0 < len(found) < len(whole) or share > 0.9


def test_tensors_and_simple_values_are_both_scalars() -> None:
    found = scalars(next((FILES / "torch_tb").iterdir()))
    tags = {s.tag: s.value for s in found if s.step == 0}
    assert tags == {
        "Loss/train": 2.0,
        "Loss/val": pytest.approx(2.2, rel=1e-6),
        "Accuracy/val": 0.5,
    }


@given(st.integers(30, 2000), st.integers(0, 255))
def test_a_damaged_event_file_gives_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    data = bytearray(events())
    data[place % len(data)] = byte
    path = tmp_path_factory.mktemp("any") / "events.out.tfevents.1"
    path.write_bytes(bytes(data))
    scalars(path)


def test_an_event_file_without_a_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"not an event file at all, but long enough")
    with pytest.raises(UserError, match="no whole record"):
        read_history(path)


def test_the_checksum_is_that_of_the_framing() -> None:
    data = events()
    assert _masked(data[:8]) == struct.unpack("<I", data[8:12])[0]
