"""What the budget of the configured credential is now: from configuration and ledger alone, for `status` and `plan`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from harvester.config import Config
from harvester.errors import ConfigError
from harvester.state.budget import BudgetBook, Spending
from harvester.state.database import connect


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests of one credential, all its processes together."""

    configured: int | None
    """`rate.requests`; None where it is to be learned."""
    learned: int | None
    """What refusals have taught; None before the first one."""
    learned_at: datetime | None
    """When it became what it is; aware UTC."""
    spent: int
    """Within the window before now, by processes that saved what they spent: all but the last second's."""
    window_seconds: float

    @property
    def requests(self) -> int | None:
        """Requests per window that are used at most; None while nobody knows."""
        return min((n for n in (self.configured, self.learned) if n is not None), default=None)

    def facts(self) -> dict[str, object]:
        """Return it as plain values."""
        at = self.learned_at.isoformat(timespec="seconds") if self.learned_at else None
        return {**asdict(self), "learned_at": at, "requests": self.requests}

    def __str__(self) -> str:
        per = f"per {self.window_seconds:g} s"
        if self.requests is None:
            limit = f"no limit is known (rate.requests is not set, and nothing was refused yet); {per}"
        else:
            origin = []
            if self.configured is not None:
                origin.append(f"configured {self.configured:,}")
            if self.learned is not None and self.learned_at is not None:
                origin.append(f"learned {self.learned:,}, {self.learned_at:%Y-%m-%d %H:%M} UTC")
            limit = f"{self.requests:,} requests {per} ({'; '.join(origin)})"
        return f"Budget: {limit}; {self.spent:,} spent in the present window"


def present(config: Config, now: datetime) -> Budget:
    """Return the budget as of *now*, aware UTC; raises `LedgerError` where there is no ledger.

    Without credentials nothing is known but what is configured.
    """
    found = _recorded(config, now)
    learned = found.learned
    return Budget(
        configured=config.rate.requests,
        learned=learned.limit if learned else None,
        learned_at=learned.at if learned else None,
        spent=len(found.ages),
        window_seconds=config.rate.window_seconds,
    )


def _recorded(config: Config, now: datetime) -> Spending:
    try:
        client_id = config.sma.credentials().client_id
    except ConfigError:
        return Spending()
    engine = connect(config.ledger.path, create=False)
    try:
        return BudgetBook(engine, client_id, config.rate.window_seconds).present(now)
    finally:
        engine.dispose()
