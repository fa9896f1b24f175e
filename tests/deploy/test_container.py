"""container/: the image's recipe fits the project, and its steps make a harvester that works."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from deployed import DEPLOY, ROOT, STATE, image, stages, variables

from harvester import __version__
from harvester.config import KEYS, Config, load

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def copied(stage: list[tuple[str, str]]) -> list[list[str]]:
    """Return the words of each COPY from the repository: sources, then the destination."""
    return [value.split() for step, value in stage if step == "COPY" and not value.startswith("--from")]


class TestRecipe:
    """What the Dockerfile says."""

    def test_every_source_is_there_and_seen_by_the_build(self) -> None:
        """What is copied exists and is let in by the ignore file; what pyproject.toml names is among it."""
        sources = {name for stage in stages() for words in copied(stage) for name in words[:-1]}
        text = (DEPLOY / "container/Dockerfile.dockerignore").read_text(encoding="utf-8")
        let_in = {line.removeprefix("!") for line in text.splitlines() if line.startswith("!")}

        assert {name for name in sources if not (ROOT / name).exists()} == set()
        assert sources == let_in
        assert {"pyproject.toml", "harvester", PROJECT["readme"], *PROJECT["license-files"]} <= sources

    def test_nothing_else_is_seen_by_the_build(self) -> None:
        """All is ignored first, so that neither secrets nor a lake nor history can reach a layer."""
        rules = (DEPLOY / "container/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        rules = [rule for rule in rules if rule and not rule.startswith("#")]

        assert rules[0] == "*"
        for name in (".git", "config/secrets.env", "storage/data", ".venv", "deploy/compose/secrets/client_secret"):
            assert not any(fnmatch(name, rule[1:]) for rule in rules if rule.startswith("!")), name

    def test_every_stage_has_one_python_that_the_project_supports(self) -> None:
        """One version within requires-python; the whole image, which has a compiler, to build, the slim one to run."""
        slim, whole = (value for step, value in image() if step == "ARG")
        version = re.fullmatch(r"PYTHON=(python:3\.(\d+))-slim", slim)
        least = re.fullmatch(r">=3\.(\d+)", PROJECT["requires-python"])

        assert version
        assert least
        assert int(version[2]) >= int(least[1])
        assert whole == f"BUILDER={version[1]}"
        assert [stage[0][1].split()[0] for stage in stages()] == ["${BUILDER}", "${PYTHON}", "${PYTHON}"]

    def test_it_fetches_nothing_but_bound_packages(self) -> None:
        """No file from the network; wherever pip installs, the constraints bind it, the build's own tools included."""
        assert "ADD" not in {step for step, _ in image()}
        for stage in stages():
            runs = [value for step, value in stage if step == "RUN"]
            assert not re.search(r"curl|wget|git |apt|https?:", " ".join(runs))
            if any(re.search(r"pip (install|wheel)", run) for run in runs):
                assert variables(stage)["PIP_CONSTRAINT"] == "/src/constraints.txt"

    def test_the_image_holds_the_environment_and_nothing_of_the_build(self) -> None:
        """The last stage copies one folder and installs nothing; no secret is an argument or a variable."""
        last = stages()[-1]
        texts = " ".join(value for step, value in image() if step in {"ENV", "ARG"})

        assert [value for step, value in last if step == "COPY"] == [
            "--from=install /opt/sma-harvester /opt/sma-harvester"
        ]
        assert [value.split()[0] for step, value in last if step == "RUN"] == ["useradd"]
        assert not re.search(r"SECRET|PASSWORD|TOKEN|CLIENT_ID|VAULT", texts)

    def test_it_is_not_root_and_writes_into_its_volume(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The user is a number, and its variables are a configuration whose lake and ledger are in the volume."""
        last = dict(stages()[-1])
        monkeypatch.chdir("/")
        own = {name: value for name, value in variables(stages()[-1]).items() if name.startswith("HARVESTER_")}
        config = load(None, environ=own)

        assert int(last["USER"].split(":")[0]) > 0
        assert PurePosixPath(last["VOLUME"]) == STATE
        assert config.lake.root.is_relative_to(STATE)
        assert config.ledger.path.is_relative_to(STATE)

    def test_it_is_the_daemon_unless_told_otherwise(self) -> None:
        """Arguments of the container are arguments of `harvester`; TERM is what a stop sends."""
        last = dict(stages()[-1])

        assert last["ENTRYPOINT"] == '["harvester"]'
        assert "harvester" in PROJECT["scripts"]
        assert last["CMD"] == '["daemon"]'
        assert last["STOPSIGNAL"] == "SIGTERM"

    def test_its_health_is_the_daemons_own_word(self) -> None:
        """The check asks the port that the configuration has by default, below the exposed ones."""
        last = dict(stages()[-1])
        port = Config().web.operator.rpartition(":")[2]

        assert f"http://127.0.0.1:{port}/healthz" in last["HEALTHCHECK"]
        assert port in last["EXPOSE"].split()
        assert "operator" in KEYS["web"]


def built(root: Path) -> Path:
    """Do what the first two stages do, in *root* instead of an image; return the environment they make.

    Their own RUN lines are run by a shell, with the image's folders replaced by ones of *root*.
    """
    places = {
        place: str(root / place.strip("/").replace("/", "-")) for place in ("/src", "/wheels", "/opt/sma-harvester")
    }

    def moved(text: str) -> str:
        for place, here in places.items():
            text = re.sub(rf"(?<![\w/-]){re.escape(place)}(?![\w-])", here, text)
        return text

    work = Path(places["/src"])
    work.mkdir()
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for stage in stages()[:2]:
        # what pip has fetched before is used, and nothing is compiled: both only save time
        given = {name: moved(value) for name, value in variables(stage).items() if name != "PIP_NO_CACHE_DIR"}
        env = {**own, **given, "PATH": path, "PIP_NO_COMPILE": "1"}
        for step, value in stage:
            if step == "COPY" and not value.startswith("--"):
                put(value.split(), work)
            if step == "RUN":
                done = subprocess.run(
                    ["/bin/sh", "-ec", moved(value)], cwd=work, env=env, check=False, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{value}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return Path(places["/opt/sma-harvester"])


def put(words: list[str], work: Path) -> None:
    """Do one COPY: files of the repository into *work*, folders as their content."""
    for name in words[:-1]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, work / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"), dirs_exist_ok=True
            )
        else:
            shutil.copy(source, work / name)


def said(environment: Path, *arguments: str) -> str:
    """Return what the built command prints, away from this repository and from everything that it has installed."""
    env = {"PATH": str(environment / "bin"), "HOME": str(environment)}
    program = environment / "bin" / arguments[0]
    done = subprocess.run(
        [program, *arguments[1:]], cwd=environment, env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestSteps:
    """The steps, run in a clean virtual environment."""

    @pytest.mark.usefixtures("gcc")
    @pytest.mark.timeout(900)  # a busy machine unpacks for minutes what an idle one does in half of one
    def test_they_make_a_harvester_that_works_alone(self, tmp_path: Path) -> None:
        """The command comes from the wheel, whole; every library is as the constraints say; no installer is left."""
        made = built(tmp_path)
        place = said(made, "python", "-c", "import harvester; print(harvester.__file__)").strip()
        code = "from importlib.metadata import distributions as d; print(*{x.name + '==' + x.version for x in d()})"
        found = {name.lower().replace("_", "-") for name in said(made, "python", "-c", code).split()}
        bound = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-").split()

        assert Path(place).is_relative_to(made)
        assert said(made, "harvester", "--version").strip() == __version__
        assert '"$schema"' in said(made, "harvester", "schema", "config")
        assert "plant_energy_balance" in said(made, "harvester", "schema", "lake")
        assert len(found) > 20
        assert found - set(bound) == {f"sma-harvester=={__version__}"}
        assert {"isal", "uvloop"} <= {name.partition("==")[0] for name in found}
        assert list(made.glob("lib/*/site-packages/harvester/state/migrations/versions/v0001_first.py"))
        assert list(made.glob("lib/*/site-packages/harvester/py.typed"))
