"""deploy/ as a whole fits the product: every variable, command, port and exit code in it is one that there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from deployed import DEPLOY, image

from harvester import errors
from harvester.cli.app import app
from harvester.config import KEYS, SECRETS, Config, load
from harvester.report import INCOMPLETE

FILES = sorted(
    file
    for file in DEPLOY.rglob("*")
    if file.is_file() and "secrets" not in file.parts and file.name != "harvester.toml"
)
COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def text_of(file: Path) -> str:
    """Return the text of *file*."""
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(DEPLOY)))
class TestFiles:
    """Each file."""

    def test_every_variable_is_a_key(self, file: Path) -> None:
        """HARVESTER_<SECTION>__<KEY>; with _FILE the secrets only."""
        known = {f"HARVESTER_{section}__{key}".upper() for section, keys in KEYS.items() for key in keys}
        known |= {f"HARVESTER_{section}__{key}_FILE".upper() for section, key in SECRETS} | {"HARVESTER_CONFIG"}

        assert set(re.findall(r"\bHARVESTER_[A-Z_]*[A-Z]\b", text_of(file))) - known == set()

    def test_every_command_is_one(self, file: Path) -> None:
        """What follows the program's name is a command, and of a group one of its commands."""
        found = re.findall(
            r"(?:bin/|`|exec \S+ -- )harvester(?: --config \S+)? ([a-z]+)(?: ([a-z]+)\b)?", text_of(file)
        )
        for command, sub in found:
            assert command in COMMANDS, command
            inner = getattr(COMMANDS[command], "commands", None)
            assert inner is None or sub in inner, f"{command} {sub}"

    def test_no_secret_and_no_address_of_a_machine(self, file: Path) -> None:
        """Nothing that looks like a credential; addresses are loopback, wildcard, names of examples or of services."""
        text = text_of(file)
        addresses = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text))

        assert addresses <= {"127.0.0.1", "0.0.0.0"}  # noqa: S104 - what the files may name
        assert not re.search(
            r"-----BEGIN|eyJ[A-Za-z0-9_-]{10,}|(?<![\w/])(?=[A-Za-z+/]*\d)[A-Za-z0-9+/]{40,}={0,2}(?![\w/])", text
        )


def arguments() -> list[tuple[str, list[str]]]:
    """Return the arguments that the image, the stack and the manifests give to the program, with where."""
    found = [("Dockerfile", yaml.safe_load(dict(image())["CMD"]))]
    for file in (f for f in FILES if f.suffix == ".yaml"):
        lines = re.findall(r"^\s*(?:args|command): (\[.*\])$", text_of(file), flags=re.MULTILINE)
        found.extend((file.name, yaml.safe_load(line)) for line in lines)
    for file in sorted((DEPLOY / "systemd").glob("*.service")):
        [line] = re.findall(r"^ExecStart=\S+ --config \S+ (.*)$", text_of(file), flags=re.MULTILINE)
        found.append((file.name, line.replace("%i", "2024").split()))
    return found


class TestCommands:
    """What is started."""

    @pytest.mark.parametrize(("place", "words"), arguments(), ids=[place for place, _ in arguments()])
    def test_it_would_be_taken(self, place: str, words: list[str]) -> None:
        """The command line knows command and options; nothing is run."""
        name, *rest = words
        context = COMMANDS[name].make_context(name, list(rest))

        assert context.command.name == name, place

    def test_every_way_starts_a_daemon(self) -> None:
        """systemd, image, compose and Kubernetes."""
        places = [place for place, words in arguments() if words == ["daemon"]]

        assert sorted(places) == ["Dockerfile", "compose.yaml", "deployment.yaml", "harvester.service"]


class TestPage:
    """README.md."""

    PAGE = text_of(DEPLOY / "README.md")

    def test_exit_codes_are_those_of_the_contract(self) -> None:
        """Each code of an error and of an interruption has its line."""
        listed = {
            int(code) for row in re.findall(r"^\| ([\d, ]+) \|", self.PAGE, re.MULTILINE) for code in row.split(",")
        }
        own = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.HarvestError)}

        assert listed == own | {0, INCOMPLETE, 130, 143}

    def test_ports_are_the_configured_ones(self) -> None:
        """Of the listeners that are named, the operator's is where it is by default."""
        operator = Config().web.operator.rpartition(":")[2]
        ports = set(re.findall(r"\b86\d\d\b", self.PAGE))

        assert operator in ports
        assert ports <= {operator, "8650", "8642"}

    def test_files_it_names_exist(self) -> None:
        """What one copies from the repository is in it."""
        named = set(re.findall(r"(?:^|[\s(])((?:deploy|config)/[\w./@-]+)", self.PAGE)) - {"deploy/compose/secrets"}
        made = {
            "deploy/compose/harvester.toml",
            "deploy/kubernetes/secret.yaml",
            "deploy/harvester",
        }  # the last is a Deployment
        places = {name.rstrip("./") for name in named} - made

        assert len(places) > 5
        assert {
            n for n in places if not (DEPLOY.parent / n).exists() and not n.startswith("deploy/compose/secrets")
        } == set()

    def test_blocks_of_toml_are_configurations(self, tmp_path: Path) -> None:
        """As they stand."""
        blocks = re.findall(r"^```toml\n(.*?)^```$", self.PAGE, flags=re.MULTILINE | re.DOTALL)
        assert blocks
        for block in blocks:
            (tmp_path / "harvester.toml").write_text(block)
            assert load(tmp_path / "harvester.toml", environ={"HARVESTER_WEB__OPERATOR_PASSWORD": "s"})
