"""The run of all checks gets a browser and node where they are absent, and fails clearly where it cannot."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.experiments.explorer.programs import is_skipped

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci/browser"
TOOLS = ("bash", "env", "id", "timeout", "xargs", "touch", "chmod", "echo")
INSTALLS = 'case "$*" in *install*) touch "$HERE/chromium" "$HERE/node"; chmod +x "$HERE/chromium" "$HERE/node";; esac'

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the script is in a checkout only")


def ran(folder: Path, apt_get: str | None) -> subprocess.CompletedProcess:
    """What the script does where only some tools are, and apt-get is this line of shell, or is not there."""
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    program(folder / "sudo", 'shift; exec "$@"')
    if apt_get is not None:
        program(folder / "apt-get", f'echo "$@" >> "$HERE/asked"; {apt_get}')
    environment = {"PATH": str(folder), "HERE": str(folder)}
    return subprocess.run([str(SCRIPT)], env=environment, capture_output=True, text=True, check=False, timeout=60)


def program(path: Path, line: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{line}\n")
    path.chmod(0o755)


def test_what_is_there_is_not_installed(tmp_path: Path) -> None:
    program(tmp_path / "chromium", "")
    program(tmp_path / "node", "")
    assert ran(tmp_path, INSTALLS).returncode == 0 and not (tmp_path / "asked").exists()


def test_what_is_absent_is_installed(tmp_path: Path) -> None:
    program(tmp_path / "node", "")
    done = ran(tmp_path, INSTALLS)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith("update") and asked[1].endswith("--no-install-recommends chromium")


@pytest.mark.parametrize(
    ("apt_get", "words"),
    [
        (None, "chromium nodejs: not installed, and there is no apt-get"),
        ("exit 100", "chromium nodejs: apt-get could not install them"),
        ("exit 0", "chromium nodejs: apt-get ran, but the program is not on the PATH"),
    ],
)
def test_what_cannot_be_installed_fails_in_one_line(tmp_path: Path, apt_get: str | None, words: str) -> None:
    done = ran(tmp_path, apt_get)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_tests_are_skipped_without_the_programs_but_not_where_they_are_required(tmp_path: Path) -> None:
    assert is_skipped("node", {"PATH": str(tmp_path)})
    assert not is_skipped("node", {"PATH": str(tmp_path), "DEVCIRCUITS_REQUIRE_BROWSER": "1"})
    program(tmp_path / "node", "")
    assert not is_skipped("node", {"PATH": str(tmp_path)})


def test_the_run_of_all_checks_requires_them() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert ".ci/browser" in lines and any("DEVCIRCUITS_REQUIRE_BROWSER=1" in line for line in lines)
    assert os.access(SCRIPT, os.X_OK)
