"""What `status` and `plan` say of the budget, from configuration and ledger alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harvester import plan
from harvester.compose import scope_of, utc_now, writable
from harvester.config import Config, load
from harvester.due import Wanted
from harvester.errors import LedgerError
from harvester.model import WHOLE, Shard
from harvester.questions import preview
from harvester.questions.budget import Budget, present
from harvester.state.budget import BudgetBook, Learned, Spending
from harvester.state.database import connect

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LESSON = Learned(limit=186, granted=200, at=datetime(2026, 6, 1, 9, 30, 5, 123, tzinfo=UTC))


def configured(folder: Path, **more: Any) -> Config:
    """Return a configuration with everything below *folder*."""
    own = {"lake.root": str(folder / "lake"), "ledger.url": f"sqlite:///{folder / 'ledger.db'}"}
    return load(None, environ={}, flags=own | {key.replace("__", "."): value for key, value in more.items()})


@pytest.fixture
def book(tmp_path: Path) -> Iterator[BudgetBook]:
    """Return the book of the local sandbox's client."""
    engine = connect(tmp_path / "ledger.db")
    yield BudgetBook(engine, "local-sandbox", 300.0)
    engine.dispose()


def test_nothing_configured_and_nothing_learned(tmp_path: Path, book: BudgetBook) -> None:
    """It says that no limit is known."""
    found = present(configured(tmp_path), NOW)

    assert found == Budget(None, None, None, 0, 300.0)
    assert found.requests is None
    assert "no limit is known" in str(found)


def test_what_was_learned_is_told(tmp_path: Path, book: BudgetBook) -> None:
    """The limit of all shards together, when it was learned, and what they spent in the present window."""
    book.save(Shard(1, 2), Spending(ages=(400.0 - 299.0,) * 3, learned=LESSON), NOW)
    book.save(Shard(2, 2), Spending(ages=(0.0,), learned=LESSON), NOW)
    found = present(configured(tmp_path), NOW + timedelta(seconds=10))

    assert found.facts() == {
        "configured": None,
        "learned": 372,
        "learned_at": "2026-06-01T09:30:05+00:00",
        "spent": 4,
        "window_seconds": 300.0,
        "requests": 372,
    }
    assert str(found) == (
        "Budget: 372 requests per 300 s (learned 372, 2026-06-01 09:30 UTC); 4 spent in the present window"
    )


@pytest.mark.parametrize(("rate", "requests"), [(1000, 186), (100, 100)])
def test_the_smaller_limit_counts(tmp_path: Path, book: BudgetBook, rate: int, requests: int) -> None:
    """A configured limit holds unless refusals taught a smaller one."""
    book.save(WHOLE, Spending(learned=LESSON), NOW)
    found = present(configured(tmp_path, rate__requests=rate), NOW)

    assert (found.configured, found.learned, found.requests) == (rate, 186, requests)
    assert f"configured {rate:,}; learned 186" in str(found)


def test_without_credentials_only_the_configuration_is_known(tmp_path: Path, book: BudgetBook) -> None:
    """A question needs no secret."""
    book.save(WHOLE, Spending(ages=(0.0,), learned=LESSON), NOW)
    config = configured(tmp_path, sma__environment="production", rate__requests=50)

    assert present(config, NOW) == Budget(50, None, None, 0, 300.0)


def test_without_a_ledger_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    """Nothing is made by looking."""
    with pytest.raises(LedgerError, match="there is no ledger yet"):
        present(configured(tmp_path), NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("learned", [None, LESSON])
def test_plans_use_what_was_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], learned: Learned | None
) -> None:
    """`plan` and `plan --live` take the learned limit where none is configured."""
    config = configured(tmp_path)
    with writable(config, "run"):
        pass
    engine = connect(tmp_path / "ledger.db")
    BudgetBook(engine, "local-sandbox", 300.0).save(WHOLE, Spending(learned=learned), NOW)
    engine.dispose()
    span = plan.recent(config.harvest.since.first_day, config.harvest.live_sets, utc_now())
    wanted = Wanted(command="run", scope=scope_of(config), span_of=span)

    assert preview.costs(config, wanted, as_json=True) == 0
    cost = json.loads(capsys.readouterr().out)
    assert preview.live(config, as_json=True) == 0
    live = json.loads(capsys.readouterr().out)
    assert preview.costs(config, wanted, as_json=False) == 0
    assert preview.live(config, as_json=False) == 0
    told = " ".join(capsys.readouterr().out.split())

    assert cost["minutes"] == (None if learned is None else 0.0)
    assert live["share"] == (None if learned is None else 0.0)
    assert cost["budget"]["requests"] == live["budget"]["requests"] == (learned.limit if learned else None)
    assert ("budget of 186 requests in 05:00, as learned" in told) is bool(learned)
    assert ("None is configured" in told or "none was learned" in told) is not bool(learned)
