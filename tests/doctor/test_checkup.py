"""The value that holds checks: order, counts, texts."""

from __future__ import annotations

from trainwell.doctor.checkup import Checkup
from trainwell.doctor.finding import Check, Level, Remedy, out_of_time

CHECKS = (
    Check("F08", "cannot-overfit-tiny-batch", "fault", 0.4, 1.0, "Not by heart."),
    Check("D01", "unscaled-inputs", "pass", 1.0, 10.0, "Fine."),
    Check("N03", "softmax-twice", "fault", 1.0, 1.0, "<b>twice</b>", (Remedy("remove it"),)),
    Check("N07", "dropout-misuse", "note", None, None, "Strong."),
    Check("N08", "bottleneck", "warning", 2.0, 4.0, "Narrow."),
)


def test_faults_come_first_and_causes_before_symptoms() -> None:
    found = Checkup.of(CHECKS, 1.25)
    assert [c.code for c in found.checks] == ["N03", "F08", "N08", "N07", "D01"]
    assert found.worst == "fault" and len(found.findings()) == 4
    assert Checkup((), 0.0).worst == "pass"
    assert [c["code"] for c in found.to_json()["checks"]] == ["N03", "F08", "N08", "N07", "D01"]


def test_the_table_counts_and_escapes() -> None:
    found = Checkup.of(CHECKS, 1.25)
    text = str(found).splitlines()
    assert text[0].startswith("FAIL  N03  softmax-twice") and text[1].strip() == "- remove it"
    assert text[-1] == "5 checks in 1.2 s: 2 faults, 1 warning, 1 note, 1 passed."
    page = found._repr_html_()
    assert "&lt;b&gt;twice" in page and "<b>twice" not in page


def test_what_there_was_no_time_for_is_one_line() -> None:
    late = [out_of_time("D05", "near-duplicates"), out_of_time("F08", "cannot-overfit-tiny-batch")]
    found = Checkup((*CHECKS, *late), 1.25)
    text = str(found).splitlines()
    assert text[-2] == "not decided for lack of time: near-duplicates, cannot-overfit-tiny-batch"
    assert text[-1].startswith("7 checks in 1.2 s: 2 faults") and "2 not decided" in text[-1]
    assert str(found).count("near-duplicates") == 1 and "near-duplicates" in found._repr_html_()
    assert len(found.findings()) == 4
    assert [c["level"] for c in found.to_json()["checks"][-2:]] == ["note", "note"]
    assert Checkup(tuple(late), 0.0).worst == "pass"


def test_one_problem_stands_once_with_the_heavier_of_two_checks() -> None:
    def made(level: Level, words: str) -> Check:
        return Check("D01", "unscaled-inputs", level, 1.0, 10.0, words)

    other = Check("D09", "sorted-order", "pass", 0.0, -4.0, "Fine.")
    for first, second, kept in (
        ("fault", "fault", "data"),
        ("pass", "fault", "network"),
        ("note", "pass", "data"),
    ):
        found = Checkup.joined([made(first, "data"), other], [made(second, "network")], 1.0)
        assert [c.words for c in found.checks if c.code == "D01"] == [kept]
        assert len(found.checks) == 2
    late = out_of_time("D01", "unscaled-inputs")
    assert Checkup.joined([late], [made("pass", "network")], 1.0).checks[0].words == "network"


def test_the_number_of_a_finding_is_named_by_its_check() -> None:
    finding = CHECKS[0].as_finding()
    assert finding is not None and finding.evidence[0].name == "cannot_overfit_tiny_batch"
