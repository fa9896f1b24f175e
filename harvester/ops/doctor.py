"""`harvester doctor`: every check, in the order in which one depends on another, each with what to do about it.

Asks SMA for a token, the list of plants and a few consents, and nothing where an earlier check says that it would be in
vain. A check that fails costs only those that need what it found missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from harvester import show
from harvester.config import Config
from harvester.errors import (
    ConfigError,
    CredentialsRefused,
    Forbidden,
    HarvestError,
    NotFound,
    Throttled,
)
from harvester.ops import machine
from harvester.ops.finding import Finding, State, not_checked, ok, together, warning, wrong
from harvester.ops.reach import reachable
from harvester.ops.records import budget, connected, exhausted
from harvester.report import INCOMPLETE, OK
from harvester.sma.client import Client
from harvester.sma.consent import Consent, ConsentState
from harvester.sma.settings import Credentials, Hosts, Limits

PATIENCE = 15.0
"""Seconds for one question to SMA, waiting for its budget included."""
MOST_OWNERS = 10
"""So many owners are asked for at most: `harvester consent status` asks for all."""
SKEW_WARNING, SKEW_WRONG = timedelta(seconds=30), timedelta(minutes=5)
_NEED_CONFIGURATION = (
    *("secret files", "permissions", "disk", "lake and ledger", "vault"),
    *("reachability", "credentials", "clock skew", "consent", "budget"),
)
_CONFIGURATION_REMEDY = (
    "Correct what is named. `harvester schema config` prints what each key takes, `harvester init` writes a new file."
)


async def examine(
    read: Callable[[], Config], *, file: Path | None, environ: Mapping[str, str], wall: Callable[[], datetime]
) -> list[Finding]:
    """Return what every check found; *read* loads the configuration of *file*, *wall* answers aware UTC."""
    found = [machine.time_zones(), machine.reader()]
    try:
        config = read()
    except ConfigError as error:
        without = [not_checked(name, "there is no configuration to check it by") for name in _NEED_CONFIGURATION]
        return [wrong("configuration", str(error), _CONFIGURATION_REMEDY), *found, *without]
    found += [
        machine.secret_files(environ, file),
        machine.permissions(config),
        machine.disk(config),
        machine.lake_and_ledger(config),
        machine.vault(config),
    ]
    return [_configuration(config, file), *found, *await _cloud(config, environ, wall)]


def present(findings: Sequence[Finding], *, check: bool, as_json: bool) -> int:
    """Print *findings* and return the exit code: 0, or 3 with *check* where something is wrong."""
    if as_json:
        show.as_json([finding.facts() for finding in findings])
    else:
        show.table("Checks", ["check", "state", "found"], [(f.name, f.state.value, f.found) for f in findings])
        for finding in (f for f in findings if f.remedy):
            show.tell(f"{finding.name}: {finding.remedy}")
        if not any(finding.remedy for finding in findings):
            show.tell("Nothing to do.")
    return INCOMPLETE if check and any(f.state is State.WRONG for f in findings) else OK


def _configuration(config: Config, file: Path | None) -> Finding:
    sma = config.sma
    whose = f"owners: {len(sma.owners)}" if sma.grant == "custom" else "owners connect in a browser"
    found = f"{file or 'no file, defaults and variables only'}: {sma.environment}, {sma.grant} grant, {whose}"
    if sma.environment == "production" and sma.grant == "custom" and not sma.owners:
        return warning("configuration", found, "Name the owners in sma.owners, so that they can be asked for consent.")
    if sma.grant == "code" and not config.web.public:
        remedy = "Set web.public and web.public_url, where owners meet the Connect SMA button."
        return warning("configuration", f"{found}, but web.public opens no page for them", remedy)
    if sma.allow_http:
        remedy = "Whoever is on the way to plain http reads credentials and values: use https, without sma.allow_http."
        return warning("configuration", f"{found}, sma.allow_http is on", remedy)
    return ok("configuration", found)


async def _cloud(config: Config, environ: Mapping[str, str], wall: Callable[[], datetime]) -> list[Finding]:
    """Return what can be said of SMA, its client and its owners."""
    sma = config.sma
    reach = await reachable([sma.auth_url, sma.consent_url, sma.monitoring_url], environ)
    try:
        given = sma.credentials()
    except ConfigError as error:
        lacking = wrong(
            "credentials", str(error), "SMA gives both halves to your application; see secrets.env.example."
        )
        without = [not_checked(name, "needs the credentials") for name in ("clock skew", "consent")]
        return [reach, lacking, *without, budget(config, wall(), refused=False)]
    if reach.state is State.WRONG:
        needing = ("credentials", "clock skew", "consent")
        without = [not_checked(name, "SMA cannot be reached") for name in needing]
        return [reach, *without, budget(config, wall(), refused=False)]
    client = Client(
        Hosts(auth_url=sma.auth_url, consent_url=sma.consent_url, monitoring_url=sma.monitoring_url),
        Credentials(client_id=given.client_id, client_secret=given.client_secret),
        Limits(
            timeout_seconds=min(sma.timeout_seconds, PATIENCE), attempts=1, window_seconds=config.rate.window_seconds
        ),
        wall=wall,
    )
    async with client:
        found = await _asked(config, client, wall)
        return [reach, *found, budget(config, wall(), refused=client.counts.throttled > 0)]


async def _asked(config: Config, client: Client, wall: Callable[[], datetime]) -> list[Finding]:
    """Ask for a token, then for what it opens."""
    if config.sma.grant == "code":
        why = "with the code grant each owner's own token is shown, and the daemon keeps those"
        return [*(not_checked(name, why) for name in ("credentials", "clock skew")), connected(config)]
    credentials = await _credentials(client)
    if credentials.state is not State.OK:
        return [credentials, _clock(client), not_checked("consent", "there is no token")]
    consent = await _consent(config, client, spent=exhausted(config, wall()))
    return [credentials, _clock(client), consent]


async def _credentials(client: Client) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE):
            await client.verify()
    except CredentialsRefused as error:
        remedy = "Compare both halves with what SMA gave you, and sma.environment with what they are for."
        return wrong("credentials", str(error), remedy)
    except (HarvestError, TimeoutError) as error:
        remedy = "Check sma.auth_url; where it is right, SMA is in trouble: try again later."
        return wrong("credentials", _words(error, client), remedy)
    return ok("credentials", "SMA gave a token")


def _clock(client: Client) -> Finding:
    """Compare this machine's clock with the Date of the last answer."""
    ahead = client.clock_ahead
    if ahead is None:
        return not_checked("clock skew", "no answer of SMA told the time")
    found = f"{abs(ahead).total_seconds():,.0f} s {'ahead of' if ahead > timedelta() else 'behind'} SMA's"
    remedy = "Let this machine keep its time: `timedatectl set-ntp true`. Which rows are late is told by its clock."
    if abs(ahead) > SKEW_WRONG:
        return wrong("clock skew", found, remedy)
    if abs(ahead) > SKEW_WARNING:
        return warning("clock skew", found, remedy)
    return ok("clock skew", "within a few seconds of SMA's" if abs(ahead) < timedelta(seconds=5) else found)


async def _consent(config: Config, client: Client, *, spent: bool) -> Finding:
    """Tell who has agreed, and whether their plants are listed."""
    owners = config.sma.owners[:MOST_OWNERS]
    answers = await asyncio.gather(*(_answer(client, owner) for owner in owners))
    # a list of plants costs a request: not beyond the budget, nor at the cost of a process that is spending it
    held = machine.writers(config)
    if spent or held:
        why = "the budget of this window is spent" if spent else f"{held[0]} spends the budget"
        listed = _unlisted(why, answers)
    else:
        listed = await _plants(client)
    told = [_told(owner, answer) for owner, answer in zip(owners, answers, strict=True)]
    if len(config.sma.owners) > MOST_OWNERS:
        told.append(ok("consent", f"{len(config.sma.owners) - MOST_OWNERS} more owners are not asked for"))
    return together("consent", [listed, *told])


_REQUEST = "`harvester consent request` has SMA ask the owners by e-mail."


def _unlisted(why: str, answers: Sequence[Consent | Exception]) -> Finding:
    """Judge by the owners' *answers* alone."""
    found = f"plants are not asked for: {why}"
    states = [answer.state for answer in answers if isinstance(answer, Consent)]
    if states and len(states) == len(answers) and ConsentState.ACCEPTED not in states:
        return wrong("consent", f"{found}; no owner has accepted", _REQUEST)
    return ok("consent", found)


async def _plants(client: Client) -> Finding:
    """List the plants."""
    try:
        async with asyncio.timeout(PATIENCE):
            plants = await client.plants()
    except (NotFound, Forbidden) as error:
        return wrong("consent", str(error), "Check sma.monitoring_url, and which APIs SMA has opened to this client.")
    except (HarvestError, TimeoutError) as error:
        return warning("consent", _words(error, client), "Try again later.")
    if plants:
        return ok("consent", f"{len(plants):,} plants are visible")
    return wrong("consent", "no plant is visible", _REQUEST)


async def _answer(client: Client, owner: str) -> Consent | Exception:
    try:
        async with asyncio.timeout(PATIENCE):
            return await client.consent_state(owner)
    except (HarvestError, TimeoutError) as error:
        return error


_REMEDIES = {
    ConsentState.PENDING: "An owner who is Pending has a mail to answer; `harvester consent request` repeats it.",
    ConsentState.NOT_ASKED: _REQUEST,
    ConsentState.EXPIRED: "`harvester consent request` asks again those whose request has expired.",
    ConsentState.REJECTED: "Talk to an owner who has rejected or revoked; `harvester consent request` asks again.",
    ConsentState.REVOKED: "Talk to an owner who has rejected or revoked; `harvester consent request` asks again.",
    ConsentState.UNKNOWN: "SMA does not tell the state: the plants that are visible decide.",
}


def _told(owner: str, answer: Consent | Exception) -> Finding:
    if isinstance(answer, Exception):
        why = str(answer) or "no answer in time"
        return warning("consent", f"{owner}: {why}", "`harvester consent status` asks again.")
    found = f"{owner}: {answer.state.value}"
    if answer.state is ConsentState.ACCEPTED:
        return ok("consent", found)
    return warning("consent", found, _REMEDIES[answer.state])


def _words(error: Exception, client: Client) -> str:
    """Return the words of *error*; a question that took too long has none of its own."""
    if isinstance(error, Throttled) or client.counts.throttled:
        return "SMA answered 429: the budget of this window is spent"
    return str(error) if isinstance(error, HarvestError) else f"no answer within {PATIENCE:.0f} s"
