"""The command line as a person and a script meet it: help, configuration, output, filters, and being stopped."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from running import Command, accept_all, backfilled, command, configured, environment, started
from structlog.contextvars import clear_contextvars
from truth_frames import days, differences, lake_tables, truth_tables

from harvester import __version__
from harvester.cli.app import app, main
from harvester.config import SECRETS
from harvester.report import Report
from harvester.sandbox import Faults, Settings, serving
from harvester.show import report

FIRST, LAST = date(2026, 10, 5), date(2026, 10, 6)
START = date(2026, 9, 1)
"""Young plants: the sums of their lives are soon made."""
SPAN = ("--from", str(FIRST), "--to", str(LAST))

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
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return what runs ``harvester`` with arguments and variables in this process, away from any terminal."""
    for name in [name for name in os.environ if name.startswith("HARVESTER_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **variables: str) -> Command:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["harvester", *arguments])
            for name, value in variables.items():
                patched.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        return Command(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def harvest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with lake and ledger of two plants, of which the second is a Classic one with long names."""

    async def fill(folder: Path) -> None:
        async with serving(Settings(plants=2, devices=3, classic_every=2, start=START)) as running:
            accept_all(running)
            await backfilled(configured(running, folder), FIRST, LAST)

    folder = tmp_path_factory.mktemp("harvest")
    asyncio.run(fill(folder))
    return folder


def kept_in(folder: Path) -> dict[str, str]:
    """Return the variables that name lake and ledger of *folder*."""
    return {
        "HARVESTER_LAKE__ROOT": str(folder / "lake"),
        "HARVESTER_LEDGER__URL": f"sqlite:///{folder / 'ledger.db'}",
    }


def all_commands() -> dict[str, "typer.core.TyperCommand"]:
    """Return every command that does something, by what one types."""
    found = {}
    for name, entry in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(entry, "commands", None)
        found.update({f"{name} {sub}": each for sub, each in inner.items()} if inner else {name: entry})
    return found


class TestHelp:
    """What ``--help`` says."""

    @pytest.mark.parametrize("name", sorted(all_commands()))
    def test_every_command_says_what_it_does_and_what_each_option_means(self, typed: Typed, name: str) -> None:
        """A sentence above, and some words beside every option."""
        told = typed(*name.split(), "--help")
        assert told.code == 0
        assert told.err == ""
        assert re.search(r"\n\n  [A-Z][^.:;]+[.:;]", told.out)
        assert all(option.help for option in all_commands()[name].params if option.param_type_name == "option")

    def test_without_a_command_the_help_names_them_all(self, typed: Typed) -> None:
        """A person who types the bare name sees every command and an exit code that is not 0."""
        told = typed()
        names = {name.split()[0] for name in all_commands()}
        assert told.code == 2
        assert all(re.search(rf"^  {name} ", told.out + told.err, re.MULTILINE) for name in names)

    def test_the_version_stands_alone(self, typed: Typed) -> None:
        """Scripts read it."""
        told = typed("--version")
        assert (told.code, told.out, told.err) == (0, f"{__version__}\n", "")

    @pytest.mark.parametrize(
        "name",
        ["run", "backfill", "plan", "discover", "status", "consent request", "consent status", "consent simulate"],
    )
    def test_what_prints_a_result_prints_it_as_json_too(self, typed: Typed, name: str) -> None:
        """--json, and --config as everywhere."""
        told = typed(*name.split(), "--help")
        assert "--json" in told.out
        assert "--config FILE" in told.out

    def test_the_schemas_are_pure_results(self, typed: Typed) -> None:
        """`schema config` is JSON; `schema lake` is text; neither needs a configuration."""
        config, lake = typed("schema", "config"), typed("schema", "lake")
        assert config.code == lake.code == 0
        assert "sma" in config.json["properties"]
        assert "plant_energy_balance" in lake.out


def every_parameter(group: Any = None, before: str = "harvester") -> Iterator[tuple[str, Any]]:
    """Yield what may be typed after each command, hidden ones and the bare name included, with the command."""
    group = group or typer.main.get_command(app)
    yield from ((before, parameter) for parameter in group.params)
    for name, inner in getattr(group, "commands", {}).items():
        yield from every_parameter(inner, f"{before} {name}")


class TestSecrets:
    """Everybody on the machine reads the list of processes."""

    def test_no_option_takes_one(self) -> None:
        """No option and no argument of any command is called like a secret, nor takes any key of the configuration."""
        secret = re.compile("secret|passw|token|credential|client|vault|webhook|(^|[^a-z])keys?($|[^a-z])")
        found = [
            (command, parameter.name, words)
            for command, parameter in every_parameter()
            if (words := secret.findall(" ".join([parameter.name, *parameter.opts, parameter.metavar or ""]).lower()))
        ]
        names = [parameter.name for _, parameter in every_parameter()]

        assert found == []
        assert len(names) > 100
        assert {"config_file", "public_url", "owner", "plant"} <= set(names)
        assert {key for _, key in SECRETS}.isdisjoint(names)

    @pytest.mark.parametrize(("section", "key"), SECRETS)
    def test_what_is_typed_all_the_same_is_refused_and_not_repeated(self, typed: Typed, section: str, key: str) -> None:
        """2, as for any option that there is not, and nothing of what was typed after it."""
        for option in (f"--{key}", f"--{key.replace('_', '-')}", f"--{section}.{key}"):
            for name in ("run", "doctor", "init", "daemon"):
                told = typed(name, option, "hunter2-hunter2")
                assert told.code == 2
                assert "No such option" in told.err
                assert "hunter2" not in told.out + told.err


class TestConfiguration:
    """Which file is read."""

    @pytest.mark.parametrize("how", ["before", "after", "variable"])
    def test_a_file_is_named_before_or_after_the_command_or_by_a_variable(
        self, typed: Typed, tmp_path: Path, how: str
    ) -> None:
        """All three read the same file, shown by the mistake that only this file holds."""
        file = tmp_path / "mine.toml"
        file.write_text("[rate]\nconcurency = 3\n")
        told = {
            "before": lambda: typed("--config", str(file), "status"),
            "after": lambda: typed("status", "--config", str(file)),
            "variable": lambda: typed("status", HARVESTER_CONFIG=str(file)),
        }[how]()
        assert told.code == 2
        assert told.out == ""
        assert f"{file} is refused" in told.err
        assert "rate.concurency: unknown key; did you mean concurrency?" in told.err

    def test_the_option_wins_over_the_variable(self, typed: Typed, tmp_path: Path) -> None:
        """Precedence: flag, then environment."""
        told = typed(
            "status", "--config", str(tmp_path / "flag.toml"), HARVESTER_CONFIG=str(tmp_path / "variable.toml")
        )
        assert "flag.toml" in told.err
        assert "variable.toml" not in told.err


class TestDays:
    """--from and --to."""

    @pytest.mark.parametrize("name", ["backfill", "plan"])
    def test_a_span_that_runs_backwards_is_refused(self, typed: Typed, name: str) -> None:
        """2, with both days named."""
        told = typed(name, "--from", "2026-10-08", "--to", "2026-10-01")
        assert told.code == 2
        assert "2026-10-08" in told.err
        assert "2026-10-01" in told.err

    def test_what_is_no_day_is_refused_with_an_example(self, typed: Typed) -> None:
        """2, with the word as it was typed and one that is right."""
        told = typed("backfill", "--from", "yesterday", "--to", "2026-10-01")
        assert told.code == 2
        assert "'yesterday' is not a day" in told.err
        assert "2026-01-31" in told.err

    def test_days_that_have_not_come_or_were_before_the_plants_cost_nothing(self, typed: Typed, harvest: Path) -> None:
        """`plan` of the future and of the time before the start-up: no request."""
        for first, last in (("2099-01-01", "2099-01-31"), ("2001-01-01", "2001-12-31")):
            told = typed("plan", "--from", first, "--to", last, "--json", **kept_in(harvest))
            assert told.code == 0
            assert told.json["requests"] == 0

    def test_the_whole_calendar_may_be_asked_for(self, typed: Typed, harvest: Path) -> None:
        """The first and the last day that a date can be: bounded by the plants' lives, not an overflow."""
        span = ("--from", "0001-01-01", "--to", "9999-12-31")
        told = typed("plan", *span, "--set", "EnergyBalance", "--json", **kept_in(harvest))
        assert told.code == 0
        assert 20 < told.json["requests"] < 100


class TestSelection:
    """--plant, --device, --set and --level."""

    @pytest.mark.parametrize(
        "option", [("--plant", "999"), ("--device", "999"), ("--set", "Nonsense"), ("--set", "energybalance")]
    )
    def test_a_plan_for_what_nobody_knows_says_so(self, typed: Typed, harvest: Path, option: tuple[str, str]) -> None:
        """The name is repeated, and nobody is told that no plant is known."""
        told = typed("plan", *SPAN, *option, **kept_in(harvest))
        assert told.code == 2
        assert option[1] in told.err
        assert "No plant is known" not in told.out + told.err

    async def test_filters_narrow_what_is_asked_and_unknown_names_are_told(self, tmp_path: Path) -> None:
        """One plant and set; one device; names of which none or one is known."""
        async with serving(Settings(plants=2, devices=3, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path)
            plant = running.cloud.world.plants()[0]
            device = next(d for d in plant.devices if "PowerAc" in d.sets)
            backfill = ("backfill", *SPAN, "--json")
            balance = await command(
                env, *backfill, "--plant", plant.plant_id, "--set", "EnergyBalance", "--level", "plant"
            )
            one = await command(env, *backfill, "--device", device.device_id)
            lost = await command(env, *backfill, "--plant", "999", "--level", "device")
            typo = await command(env, *backfill, "--plant", plant.plant_id, "--plant", "999")
            lake = lake_tables(tmp_path / "lake")

        assert [done.code for done in (balance, one)] == [0, 0]
        assert {table.split("_balance")[0] for table in balance.json["rows"]} == {"plant_energy"}
        assert balance.json["plants"] == 1
        assert all(table.startswith("device_") for table in one.json["rows"])
        assert lake["device_power_ac"]["device_id"].unique().to_list() == [device.device_id]
        assert lost.code == 2
        assert lost.out == ""
        assert "999" in lost.err
        assert "harvester discover" in lost.err
        assert "999" in typo.err + json.dumps(typo.json["warnings"] if typo.out else [])


class TestOutput:
    """Results on stdout, everything else on stderr."""

    async def test_discover_plan_and_backfill_one_after_the_other(self, tmp_path: Path) -> None:
        """The plan says what the backfill costs; nothing is asked twice; all JSON is pure, all logs are on stderr."""
        async with serving(Settings(plants=2, devices=4, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path)
            found = await command(env, "discover", "--json")
            asked = running.cloud.counts.spent
            plan = await command(env, "plan", *SPAN, "--json")
            still = running.cloud.counts.spent
            filled = await command(env, "backfill", *SPAN, "--json")
            again = await command(env, "--log-level", "error", "backfill", *SPAN, "--json")

        everything = (found, plan, filled, again)
        assert [done.code for done in everything] == [0] * 4
        assert len(found.json["plants"]) == 2
        assert asked == still == found_requests(found.json)
        assert plan.json["requests"] == pytest.approx(filled.json["requests"]["values"], abs=3)
        assert plan.json["series"] == filled.json["series"]
        assert again.json["requests"].get("values", 0) == 0
        assert again.json["files_written"] == 0
        assert "run.done" in filled.err
        for done in everything:
            assert all(isinstance(json.loads(line), dict) for line in done.err.splitlines())
        assert again.err == ""

    def test_a_plan_before_the_first_discovery_says_what_is_missing(self, typed: Typed, tmp_path: Path) -> None:
        """No traceback: where the ledger would be, and that `harvester discover` makes it for nothing but a look."""
        told = typed("plan", *SPAN, **kept_in(tmp_path))
        assert told.code == 2
        assert str(tmp_path / "ledger.db") in told.err
        assert "harvester discover" in told.err

    def test_status_before_anything_exists_says_how_to_begin(self, typed: Typed, tmp_path: Path) -> None:
        """No traceback: where the ledger would be, and the command that makes it."""
        told = typed("status", **kept_in(tmp_path))
        assert told.code == 2
        assert str(tmp_path / "ledger.db") in told.err
        assert "harvester discover" in told.err

    def test_status_tells_the_lake_the_days_and_the_last_run(self, typed: Typed, harvest: Path) -> None:
        """Tables with their files, rows and days; settled days; as JSON the same."""
        table, facts = typed("status", **kept_in(harvest)), typed("status", "--json", **kept_in(harvest)).json
        balance = next(t for t in facts["tables"] if t["table"] == "plant_energy_balance")
        assert table.code == 0
        assert facts["plants"] == 2
        assert facts["days"]["settled"] == 2 * facts["series"]
        assert balance["first_day"] <= str(FIRST)
        assert balance["last_day"] >= str(LAST)
        assert f"{balance['rows']:,}" in table.out

    def test_no_name_is_cut_where_nobody_looks_through_a_window(self, typed: Typed, harvest: Path) -> None:
        """Away from a terminal every table of the lake is printed with its whole name."""
        told = typed("status", **kept_in(harvest))
        names = [table["table"] for table in typed("status", "--json", **kept_in(harvest)).json["tables"]]
        assert "…" not in told.out
        assert [name for name in names if not re.search(rf"^{name}\s", told.out, re.MULTILINE)] == []

    @pytest.mark.parametrize("name", ["a b ü %20 ? #", "[red]x[/red]", "x[/]y"])
    def test_any_folder_may_hold_a_lake(self, typed: Typed, harvest: Path, tmp_path: Path, name: str) -> None:
        """Blanks, umlauts, wildcards and what another program might take for markup are printed as they are."""
        shutil.copytree(harvest / "lake", tmp_path / name / "lake")
        told = typed(
            "status",
            HARVESTER_LAKE__ROOT=str(tmp_path / name / "lake"),
            HARVESTER_LEDGER__URL=f"sqlite:///{harvest / 'ledger.db'}",
        )
        assert told.code == 0
        assert name in told.out


def found_requests(found: dict[str, list[dict[str, list[object]]]]) -> int:
    """Return the requests of one discovery: the list, and of each plant its devices and everybody's sets."""
    return 1 + sum(2 + len(plant["devices"]) for plant in found["plants"])


class TestBudget:
    """A small budget of requests."""

    async def test_a_budget_that_is_not_known_is_learned_and_refusals_cost_no_row(self, tmp_path: Path) -> None:
        """429 on the way, exit 0 and the whole truth in the end; that requests were refused is told."""
        async with serving(Settings(plants=1, devices=5, requests=12, window_seconds=1.5, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path, HARVESTER_RATE__WINDOW_SECONDS="1.5")
            done = await command(env, "backfill", *SPAN, "--level", "device", "--json")
            lake, truth = lake_tables(tmp_path / "lake"), truth_tables(running.cloud, days(FIRST, LAST))

        truth = {name: frame for name, frame in truth.items() if name.startswith("device_")}
        kept = {name: lake[name].filter(lake[name]["local_time"].dt.date().is_between(FIRST, LAST)) for name in truth}
        assert done.code == 0
        assert done.json["throttled"] > 0
        assert differences(kept, truth) == []

    async def test_a_budget_that_is_known_is_never_exceeded(self, tmp_path: Path) -> None:
        """No 429 at all."""
        async with serving(Settings(plants=1, devices=5, requests=12, window_seconds=1.5, start=START)) as running:
            accept_all(running)
            known = {"HARVESTER_RATE__REQUESTS": "12", "HARVESTER_RATE__WINDOW_SECONDS": "1.5"}
            done = await command(
                environment(running, tmp_path, **known), "backfill", *SPAN, "--level", "device", "--json"
            )
            limited, spent = running.cloud.counts.limited, running.cloud.counts.spent

        assert done.code == 0
        assert done.json["throttled"] == limited == 0
        assert spent > 12

    async def test_where_all_is_empty_only_what_is_sure_counts_as_covered(self, tmp_path: Path) -> None:
        """Nothing tells which days a Week covers: seven days cost three requests, those that serve each convention."""
        first = date(2026, 10, 8)
        async with serving(Settings(profile="sma", start=START)) as running:
            running.cloud.accept("apiTestUser@apiSandbox.com")
            report = await backfilled(configured(running, tmp_path), first, first + timedelta(days=6))

        assert report.exit_code == 0
        assert report.empty > 0
        assert report.requests["values"] <= 3.2 * report.series


class TestStopped:
    """SIGINT and SIGTERM."""

    async def test_a_stopped_backfill_says_so_in_its_json_and_in_the_status(self, tmp_path: Path) -> None:
        """130 as exit code, in the JSON, and as the last run's code: nobody takes it for a whole one."""
        async with serving(Settings(plants=3, devices=5, latency_seconds=0.1, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path, HARVESTER_RATE__CONCURRENCY="3")
            process = await started(env, "backfill", *SPAN, "--json")
            while running.cloud.counts.monitoring < 30:
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                out, err = await process.communicate()
            status = await command(env, "status", "--json")

        facts = json.loads(out)
        assert process.returncode == 130
        assert b"Traceback" not in err
        assert facts["interrupted"] is True
        assert facts["exit_code"] == 130
        assert status.json["last_run"]["exit_code"] == 130

    async def test_a_stopped_repair_says_that_with_force_it_begins_anew(self, tmp_path: Path) -> None:
        """What it asked of settled days nobody remembers: the words say so, and the same command asks them all."""
        async with serving(Settings(plants=1, devices=5, latency_seconds=0.05, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path, HARVESTER_RATE__CONCURRENCY="2")
            filled = await command(env, "backfill", *SPAN, "--json")
            before = running.cloud.counts.monitoring
            process = await started(env, "repair", *SPAN, "--force")
            while running.cloud.counts.monitoring < before + 10:
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
            again = await command(env, "repair", *SPAN, "--force", "--json")

        assert process.returncode == 130
        assert "goes on from here; with --force it asks all of its days again." in " ".join(out.decode().split())
        assert again.json["days"]["settled"] == filled.json["days"]["settled"]

    def test_what_goes_on_says_no_more_than_that(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A backfill and a run need no such word."""
        for name in ("backfill", "run"):
            report(Report(name, datetime.now(UTC), interrupted=True, signal=2))
            assert "the same command goes on from here.\n" in capsys.readouterr().out

    async def test_a_stopped_discovery_ends_without_a_traceback(self, tmp_path: Path) -> None:
        """143 within ten seconds, although the plant list does not come."""
        async with serving(Settings(plants=1, devices=2, faults=Faults(hang=1.0))) as running:
            accept_all(running)
            process = await started(environment(running, tmp_path), "discover")
            while running.cloud.counts.monitoring < 1:
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                _, err = await process.communicate()

        assert process.returncode == 143
        assert b"Traceback" not in err
