"""The server as such, and what it is made of."""

import ast
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import harvester.sandbox
from harvester.sandbox import Cloud, Settings, serving
from harvester.sandbox.lru import Recent
from harvester.sandbox.server import application

HOME = Path(harvester.sandbox.__file__).parent
PRINT_READINGS = """
import hashlib
from datetime import date
from harvester.sandbox import Cloud, Settings
truth = Cloud(Settings(seed=11, plants=2)).truth
readings = [(series, truth.rows(series, date(2024, 5, 5))) for series in truth.series()]
print(hashlib.sha256(repr(readings).encode()).hexdigest())
"""


def test_same_seed_same_readings_in_another_process() -> None:
    """Readings and ids do not depend on the process or its hash seed."""
    printed = []
    for hash_seed in ("1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(HOME.parent.parent)}
        command = [sys.executable, "-c", PRINT_READINGS]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        printed.append(done.stdout)

    assert len(printed[0].strip()) == 64
    assert printed[0] == printed[1]


def test_another_seed_gives_other_readings() -> None:
    """The seed decides."""
    clouds = [Cloud(Settings(seed=seed, plants=1)) for seed in (1, 2)]
    rows = [cloud.truth.rows(cloud.truth.series()[0], date(2024, 5, 5)) for cloud in clouds]

    assert rows[0] != rows[1]


async def test_a_port_in_use_is_an_oserror() -> None:
    """The second server on a port fails at once, and the first goes on."""
    async with serving(Settings(plants=1)) as running:
        port = int(running.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with serving(Settings(plants=1), port=port):
                pass

        assert running.url == f"http://127.0.0.1:{port}"


async def test_the_application_can_be_served_by_others(aiohttp_client: Any) -> None:
    """A cloud's application is an ordinary one of aiohttp."""
    client = await aiohttp_client(application(Cloud(Settings(plants=1))))
    response = await client.get("/v1/plants")

    assert response.status == 401


async def test_latency_is_added(opening: Any) -> None:
    """A switch makes every answer take its time."""
    async with opening(latency_seconds=0.05) as client:
        begun = time.perf_counter()
        await client.get("plants")

    assert time.perf_counter() - begun >= 0.05


def test_warm_bodies_are_rendered_once(clock: Any) -> None:
    """Warming renders every series of every day, and serving renders nothing again."""
    cloud = Cloud(Settings(plants=1), now=clock)
    rendered = cloud.warm(date(2024, 7, 1), date(2024, 7, 3))
    week = cloud.warm(date(2024, 6, 1), date(2024, 6, 14), sets=["EnergyBalance"], period="Week")

    assert rendered == 3 * len(cloud.truth.series())
    assert week == 2
    assert len(cloud._bodies) == rendered + week


def test_the_oldest_is_forgotten_first() -> None:
    """A bounded store drops what was unused longest, and never the newest."""
    store = Recent(10, len)
    store.put("a", "xxxx")
    store.put("b", "xxxx")
    assert store.get("a") == "xxxx"
    store.put("c", "xxxx")
    assert (store.get("b"), store.get("a")) == (None, "xxxx")
    store.put("d", "x" * 50)

    assert (len(store), store.get("d")) == (1, "x" * 50)


def test_settings_are_checked() -> None:
    """Impossible settings are refused by name."""
    for wrong in ({"devices": 0}, {"owners": ()}, {"requests": 0}, {"window_seconds": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong)).removeprefix("window_")):
            Settings(**wrong)


def test_the_sandbox_imports_nothing_of_the_product() -> None:
    """Only itself, the standard library, aiohttp and orjson, so that a mistake cannot cancel itself out."""
    foreign = set()
    for file in HOME.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            foreign |= {
                name
                for name in names
                if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("harvester.sandbox")
            }

    assert {name.partition(".")[0] for name in foreign} == {"aiohttp", "orjson"}


def test_files_stay_small() -> None:
    """No file of the sandbox grows beyond 320 lines."""
    assert all(len(file.read_text().splitlines()) <= 320 for file in HOME.glob("*.py"))
