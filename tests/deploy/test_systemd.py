"""systemd/: the units are taken by systemd itself, are closed as far as they can be, and fit the product."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from deployed import DEPLOY, ROOT

from harvester import errors
from harvester.config import KEYS, SECRETS, load
from harvester.daemon import daemon

SYSTEMD = DEPLOY / "systemd"
SERVICES = ("harvester.service", "harvester-run.service", "harvester-backfill@.service")
DROP_INS = tuple(sorted(file.name for file in (SYSTEMD / "drop-ins").iterdir()))
EXPOSURE = 1.5
"""The most that `systemd-analyze security` may find, of 10: rights to the network are most of it."""
TIMES = ("ExecStart", "Type", "Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStartSec")
"""What services may differ in; everything else that hardens or limits is the same in all of them."""


def settings(file: Path) -> dict[str, list[str]]:
    """Return what *file* sets, each key with its values in order."""
    found: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def installed(folder: Path, *drop_ins: str) -> list[Path]:
    """Put the units into *folder* as an operator does, with a program that is on this machine; return their files."""
    named = {"harvester-backfill@.service": "harvester-backfill@2024.service"}
    files = []
    for unit in (*SERVICES, "harvester-run.timer"):
        text = (SYSTEMD / unit).read_text(encoding="utf-8")
        file = folder / named.get(unit, unit)
        file.write_text(re.sub(r"(?<=^ExecStart=)\S+", "/bin/true", text, flags=re.MULTILINE))
        files.append(file)
    for drop_in in drop_ins:
        place = folder / "harvester.service.d" / drop_in
        place.parent.mkdir(exist_ok=True)
        place.write_text((SYSTEMD / "drop-ins" / drop_in).read_text(encoding="utf-8"))
    return files


class TestSystemdItself:
    """Its own tools."""

    def test_it_finds_nothing_wrong(self, systemd_analyze: Path, tmp_path: Path) -> None:
        """`systemd-analyze verify` has nothing to say about the units, the daemon's drop-ins included."""
        files = installed(tmp_path, *DROP_INS)
        told = subprocess.run(
            [systemd_analyze, "verify", "--man=no", *files], check=False, capture_output=True, text=True
        )

        assert (told.returncode, told.stderr) == (0, "")

    def test_it_would_see_a_mistake(self, systemd_analyze: Path, tmp_path: Path) -> None:
        """A misspelt key and a value that is none are told: silence means something."""
        [file, *_] = installed(tmp_path)
        file.write_text(file.read_text().replace("ProtectSystem=strict", "ProtectSystem=strickt\nProtectHouse=yes"))
        told = subprocess.run([systemd_analyze, "verify", file], check=False, capture_output=True, text=True)

        assert "strickt" in told.stderr
        assert "ProtectHouse" in told.stderr

    @pytest.mark.parametrize("unit", SERVICES)
    def test_it_finds_little_that_could_be_closed(self, systemd_analyze: Path, unit: str) -> None:
        """`systemd-analyze security` rates each service well below what it calls exposed."""
        file = SYSTEMD / unit
        told = subprocess.run(
            [systemd_analyze, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE * 10:.0f}", file],
            check=False,
            capture_output=True,
            text=True,
        )

        assert told.returncode == 0, told.stdout[-400:] + told.stderr
        assert float(re.findall(r"exposure level for \S+: ([\d.]+)", told.stdout)[0]) <= EXPOSURE


class TestUnits:
    """What the units say fits the product."""

    @pytest.mark.parametrize("unit", [*SERVICES, "harvester-run.timer"])
    def test_every_line_is_a_key_in_a_known_section(self, unit: str) -> None:
        """Comments, sections and keys, nothing else."""
        text = (SYSTEMD / unit).read_text(encoding="utf-8")
        odd = re.findall(r"^(?!#|\[(?:Unit|Service|Timer|Install)\]$|[A-Z]\w+=|$).*", text, flags=re.MULTILINE)

        assert odd == []

    @pytest.mark.parametrize("unit", SERVICES)
    def test_secrets_come_as_credentials(self, unit: str) -> None:
        """Each credential is loaded from /etc and handed over as the file of a secret of the configuration."""
        service = settings(SYSTEMD / unit)
        loaded = dict(value.split(":") for value in service["LoadCredential"])
        handed = dict(value.split("=", 1) for value in service["Environment"])
        assert handed.pop("MALLOC_ARENA_MAX") == "2"

        assert loaded == {name: f"/etc/sma-harvester/{name}" for name in ("client_id", "client_secret")}
        assert handed == {f"HARVESTER_SMA__{name.upper()}_FILE": f"%d/{name}" for name in loaded}
        assert set(loaded) <= set(KEYS["sma"])

    @pytest.mark.parametrize("drop_in", DROP_INS)
    def test_drop_ins_add_one_secret_each(self, drop_in: str) -> None:
        """The variable is one of the configuration's secrets, and its file is the credential that is loaded."""
        added = settings(SYSTEMD / "drop-ins" / drop_in)
        [(credential, place)] = [value.split(":") for value in added["LoadCredential"]]
        [(variable, file)] = [value.split("=", 1) for value in added["Environment"]]

        assert file == f"%d/{credential}"
        assert place == f"/etc/sma-harvester/{credential}"
        assert variable in {f"HARVESTER_{section}__{key}_FILE".upper() for section, key in SECRETS}

    @pytest.mark.parametrize("unit", SERVICES)
    def test_it_may_write_where_the_configuration_for_production_writes(self, unit: str) -> None:
        """Lake and ledger of config/production.toml are in the one folder that the service can write to."""
        service, config = settings(SYSTEMD / unit), load(ROOT / "config/production.toml", environ={})
        state = Path("/var/lib") / service["StateDirectory"][0]

        assert service["ProtectSystem"] == ["strict"]
        assert config.lake.root.is_relative_to(state)
        assert config.ledger.path.is_relative_to(state)

    @pytest.mark.parametrize("unit", SERVICES)
    def test_it_runs_as_nobody_and_has_time_to_stop(self, unit: str) -> None:
        """A user of its own without any capability, and more than the ten seconds that a stop may take."""
        service = settings(SYSTEMD / unit)

        assert service["DynamicUser"] == ["yes"]
        assert service["CapabilityBoundingSet"] == [""]
        assert service["NoNewPrivileges"] == ["yes"]
        assert int(service["TimeoutStopSec"][0]) > 10
        assert service["KillMode"] == ["mixed"]

    def test_all_services_are_closed_alike(self) -> None:
        """One user, one folder, one set of limits: what one may write, the others may."""
        first, *others = (
            {key: value for key, value in settings(SYSTEMD / unit).items() if key.isidentifier() and key not in TIMES}
            for unit in SERVICES
        )
        own = {"Description", "Conflicts", "WantedBy"}

        assert len(first) > 30
        for other in others:
            assert {k: v for k, v in other.items() if k not in own} == {k: v for k, v in first.items() if k not in own}

    def test_the_daemon_is_started_again_only_where_that_helps(self) -> None:
        """Not after a wrong configuration or a refused client; after anything else that is a failure."""
        service = settings(SYSTEMD / "harvester.service")
        codes = {errors.ConfigError.exit_code, errors.Locked.exit_code, errors.CredentialsRefused.exit_code}

        assert daemon.__doc__
        assert service["Restart"] == ["on-failure"]
        assert {int(code) for code in service["RestartPreventExitStatus"][0].split()} == codes == {2, 4}
        assert service["WantedBy"] == ["multi-user.target"]
        assert shlex.split(service["ExecStart"][0])[-1] == "daemon"

    @pytest.mark.parametrize("unit", ["harvester-run.service", "harvester-backfill@.service"])
    def test_passes_take_their_time_and_may_be_stopped(self, unit: str) -> None:
        """A oneshot without an end in time, that a stop does not make fail and a failure does not hide."""
        service = settings(SYSTEMD / unit)

        assert service["Type"] == ["oneshot"]
        assert service["TimeoutStartSec"] == ["infinity"]
        assert service["SuccessExitStatus"] == ["143"]

    def test_the_timer_starts_the_pass(self) -> None:
        """The timer has the service's name, makes up for a pause, and makes room for the daemon."""
        timer = settings(SYSTEMD / "harvester-run.timer")

        assert "Unit" not in timer
        assert timer["Persistent"] == ["yes"]
        assert timer["WantedBy"] == ["timers.target"]
        assert settings(SYSTEMD / "harvester.service")["Conflicts"] == ["harvester-run.timer"]
