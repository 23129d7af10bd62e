"""The value that holds checks: order, counts, texts."""

from __future__ import annotations

from trainwell.doctor.checkup import Checkup
from trainwell.doctor.finding import Check, Remedy

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
