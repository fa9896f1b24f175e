"""Outside programs that tests drive: asked for as a fixture, `newman`, `chromium`, `browser`, or `gcc`.

Where a program is not found its tests are left out, with a line at the end that says so and how to get it; not
skipped, since a skip counts as a failure. Where the variable CI is set they stay, and fail.
"""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from playwright.async_api import Browser, async_playwright

ROOT = Path(__file__).parents[1]
NAMES = {
    "newman": ("newman", str(ROOT / "node_modules/.bin/newman")),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "systemd_analyze": ("systemd-analyze",),
    "gcc": ("gcc",),
}
"""What each program may be called, or where it may lie; the first that is there counts."""
PLACES = {program: next(filter(None, map(shutil.which, names)), None) for program, names in NAMES.items()}
ABSENT = [program for program, place in PLACES.items() if place is None]
REQUIRED = os.environ.get("CI", "").casefold() not in {"", "0", "false"}
QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
"""A browser that asks nobody for anything by itself."""


@pytest.fixture(autouse=True)
def _logs_stay_out_of_results() -> None:
    """Where nothing is configured, logs would go to stdout, which belongs to the results of commands."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what asks, itself or through a fixture, for a program that is not there."""
    if REQUIRED:
        return
    out = [item for item in items if not set(ABSENT).isdisjoint(getattr(item, "fixturenames", ()))]
    items[:] = [item for item in items if item not in out]
    config.hook.pytest_deselected(items=out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which programs are not there."""
    for program in ABSENT:
        fate = "fail" if REQUIRED else "were left out"
        terminalreporter.write_line(f"{program} is not found, so its tests {fate}: run make test-tools", yellow=True)


def _program(name: str) -> Path:
    place = PLACES[name]
    if place is None:
        pytest.fail(f"{name} is not found: run make test-tools", pytrace=False)
    return Path(place)


@pytest.fixture(scope="session")
def newman() -> Path:
    """Postman's command line."""
    return _program("newman")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Debian's Chromium, or Chrome."""
    return _program("chromium")


@pytest.fixture(scope="session")
def systemd_analyze() -> Path:
    """Return systemd's checker of units."""
    return _program("systemd_analyze")


@pytest.fixture(scope="session")
def gcc() -> Path:
    """Return the C compiler, which the reader of answers is made with."""
    return _program("gcc")


@pytest.fixture
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """Open a headless browser; root may not have its sandbox."""
    flags = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        await opened.close()
