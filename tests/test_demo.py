"""`harvester demo`: the first minute of a newcomer, and whose files it may touch."""

import asyncio
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
import structlog
from running import Command, started
from structlog.contextvars import clear_contextvars

from harvester.cli.app import main

Typed = Callable[..., Command]


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    clear_contextvars()


@pytest.fixture
def demo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return what runs ``harvester demo`` in this process."""

    def run(*arguments: str) -> Command:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["harvester", "demo", *arguments])
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        return Command(int(ended.value.code or 0), *capsys.readouterr())

    return run


class TestTour:
    """What it shows."""

    def test_it_shows_consent_rows_a_day_and_a_query_that_works_and_may_be_repeated(
        self, demo: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """0 twice; nothing is visible before the owner agrees; the printed query gives the week, by plant and day."""
        monkeypatch.chdir(tmp_path)
        told = [demo("--plants", "1") for _ in range(2)]
        line = next((line for line in told[1].out.splitlines() if line.strip().startswith("duckdb -c ")), "")
        assert [each.code for each in told] == [0, 0]
        for each in told:
            assert "0 plants visible before, Pending when asked, Accepted by its owner: 1" in each.out
            assert "plant_energy_balance" in each.out
            assert "█" in each.out
            assert each.err == "" or '"level":"error"' not in each.err
        answer = duckdb.sql(shlex.split(line)[2]).fetchall()
        days = sorted({day for _, day, _ in answer})
        assert len(days) == 7
        assert days[-1] - days[0] == timedelta(days=6)
        assert all(kwh > 0 for _, _, kwh in answer)
        assert [each.name for each in tmp_path.iterdir()] == ["demo-lake"]

    @pytest.mark.parametrize("name", ["ü [red]it's[/] #", "x[/]y"])
    def test_any_folder_will_do(self, demo: Typed, tmp_path: Path, name: str) -> None:
        """Quotes, blanks and brackets in its name: 0, and printed as they are."""
        told = demo("--plants", "1", "--folder", str(tmp_path / name))
        assert told.code == 0
        assert name in told.out

    async def test_it_stops_when_told(self, tmp_path: Path) -> None:
        """130 after SIGINT, and no summary as though it were whole."""
        process = await started({"PATH": "/usr/bin:/bin"}, "demo", "--plants", "60", "--folder", str(tmp_path / "demo"))
        assert process.stdout is not None
        while b"Accepted" not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            out, err = await process.communicate()
        assert process.returncode == 130
        assert b"Traceback" not in err
        assert b"duckdb" not in out


class TestFolder:
    """It makes its folder anew, and nobody else's."""

    def test_a_folder_of_somebody_else_is_refused_and_untouched(self, demo: Typed, tmp_path: Path) -> None:
        """2, with the folder and the option."""
        (tmp_path / "thesis.txt").write_text("years of work")
        told = demo("--folder", str(tmp_path))
        assert told.code == 2
        assert str(tmp_path) in told.err
        assert "--folder" in told.err
        assert (tmp_path / "thesis.txt").read_text() == "years of work"

    def test_a_folder_with_somebody_s_own_demo_txt_is_refused_and_untouched(self, demo: Typed, tmp_path: Path) -> None:
        """A file of that name proves nothing: what the demo has not written it does not remove."""
        (tmp_path / "demo.txt").write_text("notes for my own demo\n")
        (tmp_path / "slides").mkdir()
        told = demo("--folder", str(tmp_path), "--plants", "1")
        assert (tmp_path / "slides").is_dir()
        assert (tmp_path / "demo.txt").read_text() == "notes for my own demo\n"
        assert told.code == 2

    def test_what_somebody_added_to_a_demo_stays(self, demo: Typed, tmp_path: Path) -> None:
        """Notes kept beside an earlier demo's lake are not removed with it."""
        folder = tmp_path / "demo"
        assert demo("--folder", str(folder), "--plants", "1").code == 0
        (folder / "notebook.ipynb").write_text("{}")
        told = demo("--folder", str(folder), "--plants", "1")
        assert (folder / "notebook.ipynb").exists()
        assert told.code in {0, 2}

    def test_the_folder_one_stands_in_will_do(
        self, demo: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`--folder .` of an empty folder."""
        monkeypatch.chdir(tmp_path)
        assert demo("--folder", ".", "--plants", "1").code == 0
        assert (tmp_path / "lake").is_dir()

    def test_a_file_where_the_folder_should_be_is_refused(self, demo: Typed, tmp_path: Path) -> None:
        """2 and its path, no traceback; the same for a folder that cannot be made."""
        (tmp_path / "file").write_text("")
        for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
            told = demo("--folder", str(wrong))
            assert told.code == 2
            assert str(wrong) in told.err

    @pytest.mark.parametrize("plants", ["0", "-1"])
    def test_a_demo_of_no_plant_is_refused(self, demo: Typed, tmp_path: Path, plants: str) -> None:
        """2, with the option, before anything is made."""
        told = demo("--folder", str(tmp_path / "demo"), "--plants", plants)
        assert told.code == 2
        assert "plants" in told.err
        assert list(tmp_path.iterdir()) == []
