"""Which Python runs the gateways that are measured, and what is told of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import interpreter
from tests.bench.interpreter import ROUNDS, TIE, Choice, Python, choose, commands, measured, present

OWN = Python(sys.executable, "3.11.7", "/own", 0.012)
SYSTEM = Python("/usr/bin/python3", "3.11.2", "/system", 0.010)
SLOW = Python("/opt/python3.13", "3.13.0", "/opt", 0.013)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installer that writes down for which Python it was asked, and those three Pythons."""
    told, script = tmp_path / "told", tmp_path / "install.py"
    script.write_text(f"import sys; open({str(told)!r}, 'w').write(sys.argv[2])")
    monkeypatch.setattr(interpreter, "INSTALL", script)
    monkeypatch.setattr(interpreter, "commands", lambda: [OWN.command, SYSTEM.command, SLOW.command])
    system = replace(SYSTEM, command=str(_linked(tmp_path)))
    looked = {OWN.command: OWN, SYSTEM.command: system, system.command: system, SLOW.command: SLOW}
    monkeypatch.setattr(interpreter, "usable", looked.__contains__)
    monkeypatch.setattr(interpreter, "calibrate", looked.get)
    return told


def _linked(folder: Path) -> Path:
    """Another name of the Python that runs this."""
    name = folder / "python-of-the-system"
    name.symlink_to(sys.executable)
    return name


def test_the_fastest_is_chosen_and_told_with_the_others() -> None:
    choice = choose([OWN, SYSTEM, SLOW])
    assert choice.chosen is SYSTEM
    assert str(choice) == "Python 3.11.2 (1.00; 3.11.7: 1.20; 3.13.0: 1.30)"


def test_a_tie_goes_to_the_python_that_runs_the_bench() -> None:
    near = replace(OWN, seconds=SYSTEM.seconds * (TIE - 0.01))
    assert choose([near, SYSTEM]).chosen is near
    assert str(choose([near, SYSTEM])) == "Python 3.11.7 (1.04; 3.11.2: 1.00)"
    assert choose([replace(OWN, seconds=SYSTEM.seconds * (TIE + 0.01)), SYSTEM]).chosen is SYSTEM


def test_one_alone_is_told_without_figures() -> None:
    assert str(Choice(SYSTEM, [SYSTEM])) == "Python 3.11.2"


def test_each_is_compared_in_some_rounds_and_counts_once_however_many_names_it_has() -> None:
    looked: list[str] = []
    homes = {"a": "/a", "also a": "/a", "b": "/b"}

    def look(command: str) -> Python | None:
        looked.append(command)
        seconds = 0.2 if command == "b" else 0.3
        return Python(command, "3.11.2", homes[command], seconds) if command in homes else None

    found = measured(["a", "fails", "also a", "b"], look)
    assert [(each.command, each.seconds) for each in found] == [("a", 0.3), ("b", pytest.approx(0.2))]
    assert looked == ["a", "fails", "also a", "b"] + ["a", "b"] * (ROUNDS - 1)


@pytest.mark.parametrize("quick", ["a", "b"])
def test_a_moment_in_which_the_machine_was_fast_favours_no_python(quick: str) -> None:
    looked: list[str] = []

    def look(command: str) -> Python:
        looked.append(command)
        seconds = 0.2 if command == "b" else 0.3
        is_fast = looked.count(quick) == 1 and command == quick
        return Python(command, "3.11.2", f"/{command}", seconds / 2 if is_fast else seconds)

    found = measured(["a", "b"], look)
    assert [each.seconds for each in found] == [0.3, pytest.approx(0.2)]
    assert choose(found).chosen.command == "b"


def test_a_round_in_which_one_fails_is_left_out_and_nothing_found_is_nothing() -> None:
    looked: list[str] = []

    def look(command: str) -> Python | None:
        looked.append(command)
        return None if len(looked) == 4 else Python(command, "3.11.2", f"/{command}", 0.3)

    assert [each.seconds for each in measured(["a", "b"], look)] == [0.3, 0.3]
    assert measured(["a"], lambda _: None) == []


def test_every_folder_of_the_path_is_looked_into_for_the_names_that_make_tries(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text("# PYTHON\nPYTHON ?= python3.99 python3.98\n")
    for name in ("one/python3.98", "two/python3.98", "two/python3.99", "two/python3.97"):
        program = tmp_path / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("")
        program.chmod(0o755)
    found = commands(f"{tmp_path / 'one'}:{tmp_path / 'two'}", makefile)
    assert found == [
        sys.executable,
        *(str(tmp_path / name) for name in ("one/python3.98", "two/python3.99", "two/python3.98")),
    ]


def test_the_makefile_names_pythons(tmp_path: Path) -> None:
    assert commands(str(tmp_path))[0] == sys.executable


def test_what_is_no_python_is_not_usable(tmp_path: Path) -> None:
    for command in (str(tmp_path / "absent"), "/bin/false"):
        assert not interpreter.usable(command)
        assert interpreter.calibrate(command) is None


def test_the_python_that_runs_the_bench_is_calibrated() -> None:
    assert interpreter.usable(sys.executable)
    own = interpreter.calibrate(sys.executable)
    assert own is not None
    assert own.seconds > 0
    assert sys.version.startswith(own.version)


def test_the_fastest_gets_an_environment_which_goes_away(asked: Path) -> None:
    with present() as installed:
        assert asked.read_text() == str(interpreter.ROOT / interpreter.LOCK)
        assert installed.python.parts[-3:] == ("environment", "bin", "python")
        assert installed.folder == interpreter.ROOT
        assert installed.version == "Python 3.11.2 (1.00; 3.11.7: 1.20; 3.13.0: 1.30)"
        folder = installed.python.parents[2]
        assert folder.exists()
    assert not folder.exists()


def test_the_python_of_the_bench_runs_them_where_the_fastest_cannot(
    asked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fails.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(interpreter, "INSTALL", tmp_path / "fails.py")
    with present() as installed:
        assert installed.python == Path(sys.executable)
        assert installed.version == "Python 3.11.7 (1.20; 3.11.2: 1.00; 3.13.0: 1.30)"
    told = capsys.readouterr().err
    assert told == "bench: Python 3.11.2 is not used: what run-requirements.lock names cannot be installed\n"
    with pytest.raises(RuntimeError, match="cannot be installed"), present(str(tmp_path / "python-of-the-system")):
        pass


def test_one_that_is_named_is_used_and_no_other_looked_at(asked: Path, tmp_path: Path) -> None:
    with present(str(tmp_path / "python-of-the-system")) as installed:
        assert asked.exists()
        assert installed.version == "Python 3.11.2"


def test_one_that_is_named_must_be_usable(asked: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="no-python is no Python"),
        present("no-python"),
    ):
        pass
