"""What is handed out: the wheel holds everything, and works without the source tree."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = ROOT / "src" / "trainwell"
    expected = {
        f"trainwell/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    strange = {n for n in names - expected if ".dist-info/" not in n}
    assert not strange, f"the wheel holds more than the package: {strange}"


def test_the_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    """A new environment; the packages trainwell needs come from this one, trainwell does not."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True, timeout=120)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    # Folders that a .pth file adds are not looked through for .pth files: the editable
    # installation of this environment stays out.
    (site / "needs.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, timeout=120)
    command = tmp_path / "env" / "bin" / "trainwell"
    arguments = ["fit", "iris", "--no-coach", "--set", "epochs=3", "--set", "lr=0.01", "--json"]
    done = subprocess.run(
        [str(command), *arguments, "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (tmp_path / "run" / "report.html").is_file() and result["test"]["n"] == 30
    where = [str(python), "-c", "import trainwell; print(trainwell.__file__)"]
    place = subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert place.startswith(str(site))
