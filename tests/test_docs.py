"""What the pages tell people to type exists: commands, options, variables, targets, files, versions."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import harvester
from harvester.cli.app import app
from harvester.config import KEYS, load

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "storage/README.md", "deploy/README.md")
COMMAND: Any = typer.main.get_command(app)


def text_of(page: str) -> str:
    """Return the text of *page*."""
    return (ROOT / page).read_text(encoding="utf-8")


def typed(text: str) -> list[list[str]]:
    """Return the words of each command line that begins with `harvester` in a block of *text* for a terminal."""
    blocks = re.findall(r"^```(?:console|bash|sh|shell)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    plain = [
        re.split(r"\s+(?:#|\||>|&&|&)(?:\s|$)", re.sub(r"^(?:HARVESTER_\w+=\S+ )+", "", line))[0] for line in lines
    ]
    return [shlex.split(line) for line in plain if re.match(r"(?:\S*/)?harvester\s", f"{line} ")]


def mistake(words: list[str]) -> str | None:
    """Return what the command line has against *words*, None where it would take them."""
    command, context, rest = COMMAND, None, words[1:]
    while rest is not None:
        try:
            context = command.make_context(words[0], list(rest), parent=context)
        except typer.Exit:
            return None
        except Exception as error:  # noqa: BLE001 - typer may bring a click of its own, so its errors have no one name
            return f"{' '.join(words)}: {type(error).__name__}: {error}"
        if not hasattr(command, "commands"):
            return None
        name, *rest = [*context._protected_args, *context.args]
        if name not in command.commands:
            return f"{' '.join(words)}: there is no {name}"
        command = command.commands[name]
    return None


def commands(group: Any = COMMAND, before: str = "") -> Iterator[str]:
    """Yield the full name of every command of *group*."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        elif not command.hidden:
            yield f"{before}{name}"


class TestCommands:
    """Command lines on the pages."""

    @pytest.mark.parametrize("page", PAGES)
    def test_each_one_would_be_taken(self, page: str) -> None:
        """Names, options and values are ones that the command line knows."""
        assert [told for words in typed(text_of(page)) if (told := mistake(words))] == []

    def test_the_readme_types_some(self) -> None:
        """The first page shows how to begin, in blocks that are found."""
        assert len(typed(text_of("README.md"))) >= 3

    @pytest.mark.parametrize(
        "line",
        [
            "harvester harvest",
            "harvester consent demand",
            "harvester run --fast",
            "harvester backfill --from 2026-01-01",
            "harvester backfill --from yesterday --to 2026-01-31",
            "harvester status now",
        ],
    )
    def test_a_wrong_one_is_seen(self, line: str) -> None:
        """A command, an option, a value or an argument that there is not, and a missing one."""
        block = f"```console\n$ HARVESTER_CONFIG=x.toml {line}  # says the page\n```\n"

        assert [mistake(words) for words in typed(block)] != [None]

    def test_the_readme_tells_of_every_command(self) -> None:
        """No command is a secret."""
        text = text_of("README.md")

        assert len(list(commands())) > 8
        assert [name for name in commands() if not re.search(rf"(harvester |`){name}\b", text)] == []


@pytest.mark.parametrize("page", PAGES)
class TestPages:
    """What else the pages name."""

    def test_every_target_of_make_exists(self, page: str) -> None:
        """`make demo` and its like are in the Makefile."""
        targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), flags=re.MULTILINE))
        named = re.findall(r"(?:^(?:\$ )?|`)make ([a-z-]+)\b", text_of(page), flags=re.MULTILINE)

        assert set(named) - targets == set()

    def test_every_variable_exists(self, page: str) -> None:
        """HARVESTER_<SECTION>__<KEY> is a key of the configuration; only secrets have a _FILE."""
        known = {f"HARVESTER_{section}__{key}".upper() for section, keys in KEYS.items() for key in keys}
        known |= {f"{name}_FILE" for name in known if "CLIENT_" in name} | {"HARVESTER_CONFIG"}
        named = re.findall(r"\bHARVESTER_\w*[A-Z]\b", text_of(page))

        assert set(named) - known == set()

    def test_every_link_leads_somewhere(self, page: str) -> None:
        """Each relative link is a file or a folder of the repository."""
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", text_of(page))

        assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []

    def test_every_configuration_is_taken(self, page: str, tmp_path: Path) -> None:
        """A block of TOML is a configuration file as it stands."""
        blocks = re.findall(r"^```toml\n(.*?)^```$", text_of(page), flags=re.MULTILINE | re.DOTALL)
        for block in blocks:
            (tmp_path / "harvester.toml").write_text(block, encoding="utf-8")
            assert load(tmp_path / "harvester.toml", environ={})


def test_the_changelog_has_this_version() -> None:
    """The version of pyproject.toml, of the installed package, and a heading of the changelog are one."""
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]

    assert harvester.__version__ == version
    assert re.search(rf"^## \[?{re.escape(version)}(?![\d.])", text_of("CHANGELOG.md"), flags=re.MULTILINE)
