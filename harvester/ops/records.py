"""What the ledger remembers that a check needs: the budget's spending, and the owners of the code grant."""

from __future__ import annotations

from datetime import datetime

from harvester.config import Config
from harvester.errors import HarvestError, LedgerError
from harvester.ops.finding import Finding, not_checked, ok, together, warning, wrong
from harvester.state.budget import BudgetBook, Spending
from harvester.state.database import connect
from harvester.state.owners import ACCEPTED, CODE, Owners


def budget(config: Config, now: datetime, *, refused: bool) -> Finding:
    """Tell what a window holds and how much of the present one is spent; *refused*: SMA has just answered 429."""
    name, window = "budget", config.rate.window_seconds
    spending = _spending(config, now)
    learned = spending.learned.limit if spending.learned else None
    known = config.rate.requests or learned
    spent = len(spending.ages)
    if known is None:
        found = f"{spent:,} requests in the last {window:,.0f} s; how many are allowed is learned at the first refusal"
    else:
        how = "as configured" if config.rate.requests else "as learned"
        found = f"{spent:,} of {known:,} requests spent in the last {window:,.0f} s ({how})"
    if refused or (known is not None and spent >= known):
        left = window - max(spending.ages, default=0.0)
        return warning(
            name,
            found + ("; SMA answers 429" if refused else ""),
            f"Room comes back within {left:,.0f} s. Who else uses this client id? All of them share one budget.",
        )
    if learned is not None and config.rate.requests is not None and learned < config.rate.requests:
        remedy = f"Ask SMA what your package allows, and set rate.requests to it; {learned:,} is used until then."
        return warning(name, f"{found}, but SMA has refused at {learned:,}", remedy)
    return ok(name, found)


def exhausted(config: Config, now: datetime) -> bool:
    """Tell whether the present window is known to be spent."""
    spending = _spending(config, now)
    known = config.rate.requests or (spending.learned.limit if spending.learned else None)
    return known is not None and len(spending.ages) >= known


def _spending(config: Config, now: datetime) -> Spending:
    """Return what all processes of the client have spent; nothing where there is no ledger or no client yet."""
    try:
        client_id = config.sma.credentials().client_id
        engine = connect(config.ledger.path, create=False)
    except HarvestError:
        return Spending()
    try:
        return BudgetBook(engine, client_id, config.rate.window_seconds).present(now)
    finally:
        engine.dispose()


def connected(config: Config) -> Finding:
    """Tell who has connected in a browser, as the ledger has it."""
    name = "consent"
    try:
        engine = connect(config.ledger.path, create=False)
    except LedgerError as error:
        return not_checked(name, str(error))
    try:
        owners = [known for known in Owners(engine).known() if known.grant == CODE and known.purged_at is None]
    finally:
        engine.dispose()
    if not owners:
        page = config.web.public_url or "web.public_url"
        return wrong(name, "nobody has connected yet", f"Run `harvester daemon` and send the owners to {page}.")
    told = [f"{known.owner}: {known.state} since {known.since:%Y-%m-%d}" for known in owners]
    return together(
        name,
        (
            ok(name, text)
            if known.state == ACCEPTED
            else warning(name, text, "Ask the owner to connect again, if that was not meant.")
            for known, text in zip(owners, told, strict=True)
        ),
    )
