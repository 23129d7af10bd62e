"""What docs/security.md promises: nothing is unpickled, nothing is sent, names stay words."""

from __future__ import annotations

import ast
import socket
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import trainwell as tw
from helpers.pages import scripts_and_harm
from trainwell.data import images
from trainwell.data.download import _pack_fsdd
from trainwell.report.comparison import write_comparison

SOURCE = Path(tw.__file__).parent
UNPICKLING = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch", "yaml"}
# Who may import a module that can run code from a file, and why.
ALLOWED = {
    ("engine/sending.py", "pickle"): "arrays to worker processes that this process has started",
    ("claims/running.py", "joblib"): "starts processes that try claims; no file is loaded",
    ("engine/spread.py", "joblib"): "starts those processes; no file is loaded",
    ("engine/workers.py", "joblib"): "counts cores",
}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
EVIL = "<script>alert(1)</script>"
NAMES = (EVIL, '"><img src=x onerror=alert(2)>', "' onmouseover='alert(3)", "</title><b>{{7*7}}")
QUICK = {"epochs": 1, "lr": 0.01}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_that_unpickles_is_imported_but_where_it_is_named() -> None:
    found = set()
    for name, tree in modules():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            tops = {n.partition(".")[0] for n in names} & UNPICKLING - {"torch"}
            found |= {(name, top) for top in tops}
    assert found == set(ALLOWED)


def test_no_call_loads_objects_or_runs_text() -> None:
    loads = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called in ("torch.load", "joblib.load", "pickle.load", "marshal.loads"):
                loads.append((name, called))
            if called.endswith(("np.load", "read_array")):
                assert options.get("allow_pickle") == "False", (name, called)
            if called in CALLS:
                loads.append((name, called))
    assert loads == []


def test_training_predicting_and_reporting_use_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked for")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    run = tw.fit(
        "iris", settings=QUICK, folds=2, seeds=1, jobs=1, coach=False, out=tmp_path / "run"
    )
    assert len(tw.predict(run.folder, np.ones((2, 4))).labels) == 2
    assert run.report.is_file()
    with pytest.raises(AssertionError, match="network"):
        socket.create_connection(("localhost", 1))


def write_evil(path: Path) -> None:
    """A table whose column, classes and words are markup; the columns tell the classes."""
    quoted = ['"' + n.replace('"', '""') + '"' for n in NAMES]
    lines = [",".join([quoted[0], "b", quoted[1], "class"])]
    lines += [
        f"{i % 2 + i / 99},{i % 4 * 2 + i % 3 / 9},{quoted[i % 4]},{quoted[i % 4]}"
        for i in range(80)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_names_from_data_are_words_in_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = tw.fit("iris", settings=QUICK, folds=2, seeds=1, coach=False, out="plain")
    scripts, harm = scripts_and_harm(plain.report.read_text("utf-8"))
    assert (scripts, harm) == (1, [])
    table = tmp_path / "<img src=x onerror=alert(4)>.csv"
    write_evil(table)
    options = {"settings": QUICK, "folds": 2, "seeds": 1, "coach": False}
    run = tw.fit(table, target="class", out="evil", command=EVIL, **options)
    page = run.report.read_text("utf-8")
    assert scripts_and_harm(page) == (1, [])
    assert "&lt;script&gt;alert(1)" in page and "49" not in page.partition("{{7*7}}")[0][-3:]
    found = tw.compare("start", "lr=0.02", table, target="class", folds=2, looks=(1,), budget="5s")
    written = write_comparison(found.to_json(), tmp_path)
    assert scripts_and_harm(written.read_text("utf-8")) == (1, [])


def test_the_parser_of_pages_sees_harm() -> None:
    assert scripts_and_harm(f"<p>{EVIL}</p>") == (1, [])
    for harm in ("<img src=x>", "<p onclick=a()>", "<iframe>", "<a href='javascript:a'>", "<form>"):
        assert scripts_and_harm(harm)[1], harm


def test_names_in_an_archive_cannot_lead_out_of_it(tmp_path: Path) -> None:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in ("../../0_jackson_0.wav", "/etc/0_theo_1.wav"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, BytesIO(b"abc"))
        link = tarfile.TarInfo("0_theo_2.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    packed, _ = _pack_fsdd("here", out.getvalue())
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        assert archive.getnames() == ["fsdd/0_jackson_0.wav", "fsdd/0_theo_1.wav"]
    assert list(tmp_path.iterdir()) == []


def test_no_picture_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: started.append(a))
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with Image.open(file) as opened:  # Pillow by itself would
        assert opened.format == "EPS"
    _, reasons = images.load_images([file], 9, 9)
    assert "cannot be read" in reasons[0] and not started
