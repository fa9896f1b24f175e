"""The Postman collection of the custom flow: run by newman against the sandbox, and what it says about itself."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from harvester.sandbox import Running, Settings, serving

CONFIG = Path(__file__).parents[1] / "config"
COLLECTION = CONFIG / "sma-custom-flow.postman_collection.json"
ENVIRONMENT = CONFIG / "sma-sandbox.postman_environment.json"
PLAY = "Play the owner (sandbox only)"
STEPS = [
    "Token",
    "Ask the owner for consent",
    PLAY,
    "Read the owner's answer",
    "Plants",
    "Plant",
    "Devices",
    "Measurement sets of the plant",
    "Measurement sets of the device",
    "A day of the plant",
    "A day of the device",
    "A month of the plant",
    "Refresh the token",
    "Log out",
]


def told(name: str) -> dict[str, Any]:
    """Return the variables of the collection or of the environment, with their values."""
    file = COLLECTION if name == "variable" else ENVIRONMENT
    return {entry["key"]: entry["value"] for entry in json.loads(file.read_text(encoding="utf-8"))[name]}


async def ran(newman: Path, running: Running, folder: Path, *more: str, **variables: str) -> tuple[int, Any]:
    """Run the collection against a cloud; return the exit code and newman's own report."""
    urls = {
        "auth_url": running.url,
        "consent_url": running.url,
        "monitoring_url": f"{running.url}/monitoring/v1",
    }
    chosen = [part for name, value in (urls | variables).items() for part in ("--env-var", f"{name}={value}")]
    report = folder / "report.json"
    options = ("--reporters", "json", "--reporter-json-export", str(report))
    near = {**os.environ, "NO_PROXY": "127.0.0.1"}
    command = (str(newman), "run", str(COLLECTION), *options, *chosen, *more)
    process = await asyncio.create_subprocess_exec(*command, env=near)
    code = await process.wait()
    return code, json.loads(report.read_text(encoding="utf-8"))["run"]


def asked(run: Any) -> list[str]:
    """Return the steps that sent a request."""
    return [execution["item"]["name"] for execution in run["executions"] if "response" in execution]


async def test_every_step_is_green(newman: Path, tmp_path: Path) -> None:
    """All fourteen steps succeed; a second run finds the consent accepted and leaves the owner in peace."""
    async with serving(Settings(plants=2)) as running:
        code, first = await ran(newman, running, tmp_path)
        again, second = await ran(newman, running, tmp_path)
        spent = running.cloud.counts.spent

    assert (code, first["failures"]) == (0, [])
    assert asked(first) == STEPS
    assert first["stats"]["assertions"]["total"] > 30
    assert (again, second["failures"]) == (0, [])
    assert asked(second) == [step for step in STEPS if step != PLAY]
    assert spent == 2 * 8


async def test_green_with_the_content_of_smas_sandbox(newman: Path, tmp_path: Path) -> None:
    """The environment for SMA's sandbox needs two credentials and no more; empty device sets are no failure."""
    variables = {"client_id": "local-sandbox", "client_secret": "local-sandbox"}
    async with serving(Settings(profile="sma")) as running:
        code, run = await ran(newman, running, tmp_path, "--environment", str(ENVIRONMENT), **variables)

    assert (code, run["failures"]) == (0, [])
    assert asked(run) == STEPS


@pytest.mark.parametrize(
    ("variables", "steps"),
    [
        ({"client_secret": "wrong"}, STEPS[:1]),
        ({"simulate_owner": "false"}, [*STEPS[:2], STEPS[3], *STEPS[-2:]]),
        ({"client_id": ""}, []),
    ],
    ids=["refused", "pending", "unnamed"],
)
async def test_what_cannot_succeed_is_not_asked(
    newman: Path, tmp_path: Path, variables: dict[str, str], steps: list[str]
) -> None:
    """A refused client ends the run, a pending consent leads to its end, a missing id is said before any request."""
    async with serving(Settings(plants=1)) as running:
        code, run = await ran(newman, running, tmp_path, **variables)

    assert code == 1
    assert asked(run) == steps


def test_each_step_explains_and_checks_itself() -> None:
    """Every request has a description and assertions, and names no variable that nobody sets."""
    text = COLLECTION.read_text(encoding="utf-8")
    items = json.loads(text)["item"]
    scripts = {
        item["name"]: "\n".join(line for event in item["event"] for line in event["script"]["exec"]) for item in items
    }
    used = set(re.findall(r"\{\{(\w+)\}\}", text))
    given = set(told("variable")) | set(re.findall(r'collectionVariables\.set\(\\"(\w+)\\"', text))

    assert list(scripts) == STEPS
    assert all(item["request"]["description"] for item in items)
    assert all("pm.test(" in script for script in scripts.values())
    assert used
    assert used <= given


def test_no_secret_is_in_the_files() -> None:
    """The collection has the credentials of the local sandbox, the environment none at all."""
    local = Settings()

    assert (told("variable")["client_id"], told("variable")["client_secret"]) == (local.client_id, local.client_secret)
    assert (told("values")["client_id"], told("values")["client_secret"]) == ("", "")
    assert set(told("values")) <= set(told("variable"))
