"""The files under deploy/ fit the product: paths, variables, Python version, signals; and systemd takes them."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from harvester.config import KEYS, load

ROOT = Path(__file__).parents[1]
SYSTEMD = ROOT / "deploy" / "systemd"
STATE = PurePosixPath("/var/lib/harvester")


def settings(unit: str) -> dict[str, list[str]]:
    """Return what *unit* sets, each key with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / unit).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def steps() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, continuation lines joined."""
    text = (ROOT / "deploy/container/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if re.match(r"[A-Z]", line)]


class TestService:
    """harvester-run.service and its timer."""

    def test_systemd_finds_nothing_wrong(self, tmp_path: Path) -> None:
        """Every line is a known key in a known section, and where systemd is installed it says so itself."""
        for unit in SYSTEMD.iterdir():
            text = unit.read_text(encoding="utf-8")
            assert (
                re.findall(r"^(?!#|\[(?:Unit|Service|Timer|Install)\]$|[A-Z]\w+=|$).*", text, flags=re.MULTILINE) == []
            )
            (tmp_path / unit.name).write_text(re.sub(r"(?<=^ExecStart=)\S+", "/bin/true", text, flags=re.MULTILINE))
        tool = shutil.which("systemd-analyze")
        command = [tool, "verify", "--man=no", *map(str, tmp_path.iterdir())] if tool else ["true"]
        told = subprocess.run(command, check=False, capture_output=True, text=True)

        assert (told.returncode, told.stderr) == (0, "")

    def test_it_reads_what_the_configuration_knows(self) -> None:
        """The variables are secrets of the configuration, each one a credential that is loaded."""
        service = settings("harvester-run.service")
        loaded = {value.split(":")[0] for value in service["LoadCredential"]}
        variables = dict(value.split("=", 1) for value in service["Environment"])

        assert variables == {f"HARVESTER_SMA__{name.upper()}_FILE": f"%d/{name}" for name in loaded}
        assert loaded <= set(KEYS["sma"])

    def test_it_may_write_where_the_configuration_for_production_writes(self) -> None:
        """Lake and ledger of config/production.toml are in the one folder that the service can write to."""
        service, config = settings("harvester-run.service"), load(ROOT / "config/production.toml", environ={})
        state = Path("/var/lib") / service["StateDirectory"][0]

        assert service["ProtectSystem"] == ["strict"]
        assert config.lake.root.is_relative_to(state)
        assert config.ledger.path.is_relative_to(state)

    def test_it_runs_one_pass_as_nobody(self) -> None:
        """A oneshot without rights, that a stop does not make fail and a failure does not hide."""
        service = settings("harvester-run.service")

        assert service["Type"] == ["oneshot"]
        assert service["ExecStart"][0].split()[1:] == ["--config", "/etc/sma-harvester/harvester.toml", "run"]
        assert service["DynamicUser"] == ["yes"]
        assert service["CapabilityBoundingSet"] == [""]
        assert service["SuccessExitStatus"] == ["143"]
        assert int(service["TimeoutStopSec"][0]) > 10

    def test_the_timer_starts_it(self) -> None:
        """The timer has the service's name, makes up for a pause, and is wanted at boot."""
        timer = settings("harvester-run.timer")

        assert "Unit" not in timer
        assert timer["Persistent"] == ["yes"]
        assert timer["WantedBy"] == ["timers.target"]


class TestImage:
    """container/Dockerfile."""

    def test_it_copies_what_there_is_and_all_that_the_build_needs(self) -> None:
        """Every source is in the repository; what pyproject.toml names for the build is among them."""
        copies = [value.split() for step, value in steps() if step == "COPY"]
        sources = {name for words in copies if not words[0].startswith("--") for name in words[:-1]}
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

        assert {name for name in sources if not (ROOT / name).exists()} == set()
        assert {
            "pyproject.toml",
            "constraints.txt",
            "harvester",
            project["readme"],
            *project["license-files"],
        } <= sources
        assert "speed" in project["optional-dependencies"]

    def test_it_has_a_python_that_the_project_supports(self) -> None:
        """Both stages start from one image, of a version within requires-python."""
        images = {value.split()[0] for step, value in steps() if step == "FROM"}
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        least = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
        version = re.fullmatch(r"python:3\.(\d+)-slim", images.pop())

        assert images == set()
        assert least
        assert version
        assert int(version[1]) >= int(least[1])

    def test_it_fetches_nothing_but_pinned_packages(self) -> None:
        """No file from the network; pip is bound by the constraints; the environment is made where it stays."""
        runs = [value for step, value in steps() if step == "RUN"]

        assert "ADD" not in {step for step, _ in steps()}
        assert not re.search(r"curl|wget|git |https?:", "".join(runs))
        assert [re.search(r"--constraint (\S+)", run)[1] for run in runs if "pip install" in run] == ["constraints.txt"]
        assert ("COPY", "--from=build /opt/sma-harvester /opt/sma-harvester") in steps()

    def test_it_is_not_root_and_writes_into_its_volume(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The user is a number, and its variables are a configuration whose lake and ledger are in the volume."""
        last = dict(steps())
        variables = dict(pair.split("=", 1) for step, value in steps() if step == "ENV" for pair in value.split())
        monkeypatch.chdir("/")
        config = load(None, environ={k: v for k, v in variables.items() if k.startswith("HARVESTER_")})

        assert int(last["USER"].split(":")[0]) > 0
        assert PurePosixPath(last["VOLUME"]) == STATE
        assert config.lake.root.is_relative_to(STATE)
        assert config.ledger.path.is_relative_to(STATE)

    def test_it_is_the_command(self) -> None:
        """Arguments of the container are arguments of `harvester`; TERM is what a stop sends."""
        last = dict(steps())
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

        assert last["ENTRYPOINT"] == '["harvester"]'
        assert "harvester" in project["scripts"]
        assert last["CMD"] == '["run"]'
        assert last["STOPSIGNAL"] == "SIGTERM"
