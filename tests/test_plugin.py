"""The pytest plugin itself (tests/plugin): runs from an editor, and what a killed run leaves."""

import os
import subprocess
import sys

import pytest

from common.files import ROOT
from launcher import settings
from tests.plugin import session
from tests.support.waiting import wait_for


def pytest_run(*arguments, folder=ROOT, run_dir=None):
    """A run of its own, without the variables of this one; `run_dir` is the directory in which it makes its own."""
    ours = ("ENMS_", "PG", "PYTEST_", session.MARK)
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if run_dir:
        env |= {"ENMS_RUN_DIR": str(run_dir), "ENMS_ENV_DIR": os.environ["ENMS_ENV_DIR"]}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=folder,
        env=env,
        text=True,
        capture_output=True,
    )


def run_with_plugin(folder, *arguments):
    """A run of tests that stand outside of the repository."""
    plugins = [word for name in ("session", "database") for word in ("-p", f"tests.plugin.{name}")]
    return pytest_run(*plugins, "--rootdir", folder, "-c", ROOT / "pyproject.toml", *arguments, run_dir=folder / "run")


def test_an_editor_can_list_the_tests():
    """Without a variable, and without making a directory."""
    done = pytest_run("--collect-only", "tests/test_launcher.py", "tests/test_backup.py")
    assert done.returncode == 0, done.stdout
    assert "tests/test_backup.py::test_" in done.stdout


def test_one_test_with_a_database_runs_from_its_folder_and_without_xdist(tmp_path):
    words = ("test_docs_accounting.py", "-k", "evenly", "-p", "no:xdist")
    done = pytest_run(*words, folder=ROOT / "tests", run_dir=tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    assert not list(tmp_path.glob("test-*"))


def test_each_folder_has_its_databases(tmp_path):
    """Also when one worker runs files of two folders in turn, as pytest-xdist does."""
    for place in ("a/test_1.py", "b/test_2.py", "a/test_3.py"):
        file = tmp_path / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            "def test_it(plain):\n    print('database of', __file__, plain.one('SELECT current_database()'))\n"
        )
    done = run_with_plugin(
        tmp_path, "-s", *(tmp_path / place for place in ("a/test_1.py", "b/test_2.py", "a/test_3.py"))
    )
    lines = [line.split()[-1] for line in done.stdout.splitlines() if "database of" in line]
    assert len(lines) == 3 and lines[0] == lines[2] != lines[1], done.stdout


@pytest.fixture
def child():
    """child(run): a process that a test of that run started."""
    started = []

    def start(run):
        started.append(subprocess.Popen(["sleep", "60"], env={session.MARK: str(run)}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_a_killed_run_left_is_ended_and_removed_by_the_next(tmp_path, child):
    """What belongs to a living run stays, also where a killed one had the same pid."""
    ended, alive = (tmp_path / name for name in (f"test-{os.getpid()}-1", session.directory_name(os.getpid())))
    for run in (ended, alive):
        run.mkdir()
    orphan, other = child(ended), child(alive)
    wait_for("both to be marked", lambda: session.started_by(ended) and session.started_by(alive), 5, every=0.05)
    where = settings.Paths(tmp_path, os.environ["ENMS_ENV_DIR"])
    session.prepare(where, settings.Paths(tmp_path / "next", where.env))
    assert orphan.wait(5) < 0 and other.poll() is None
    assert alive.exists() and not ended.exists()


def test_sigterm_ends_a_run_as_ctrl_c_does(tmp_path):
    """An editor's stop button: fixtures are cleaned up, and the directory is removed."""
    test = tmp_path / "test_slow.py"
    test.write_text("import os, signal\n\ndef test_slow(server):\n    os.kill(os.getpid(), signal.SIGTERM)\n")
    done = run_with_plugin(tmp_path, test)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert not list((tmp_path / "run").glob("test-*"))
