"""What the consent commands do: ask owners, tell how they answered, play them on a sandbox.

They write the owners' book in the ledger and nothing else, so they need no lock and work beside a running daemon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from harvester import show
from harvester.compose import asked_owners, client_of, keyring_of, utc_now
from harvester.config import Config
from harvester.config.values import email_address
from harvester.discover import unreached
from harvester.errors import ConfigError
from harvester.ops.connect_link import connect_link
from harvester.owners.consents import Looked, ask_each
from harvester.owners.owner_list import owners_in
from harvester.owners.standing import facts, failures, say_failures, standing, tell_standing, tell_states
from harvester.report import INCOMPLETE, OK
from harvester.sma.client import Client
from harvester.sma.consent import Consent, ConsentState
from harvester.state.database import connect
from harvester.state.owners import CODE, KnownOwner, Owners, all_owners

LATELY = timedelta(days=1)
"""Who was asked within this time is not asked again by a whole list."""


async def request(config: Config, named: Sequence[str], *, file: Path | None, again: bool, as_json: bool) -> int:
    """Ask the *named* owners for consent, or those in *file*, or all; print the states and return the exit code.

    In the code grant nobody can be asked: the address to give to owners is printed instead, and to each *named* one
    a link of the own, by which the owner is known under that name.
    """
    if config.sma.grant == CODE:
        return _tell_address(config, owners_in(file) if file else named, as_json=as_json)
    if named and file:
        raise ConfigError("give e-mail addresses or --file, not both")
    with _book(config) as owners:
        names, left = _to_ask(config, owners, named, owners_in(file) if file else None, again=again)
        looked = await _asked(config, owners, names, lambda client: client.consent_request, requested=True)
        known = _by_name(owners)
    if as_json:
        told = [facts(consent.owner, known) | {"asked": True} for consent in looked.read]
        skipped = [facts(owner, known) | {"asked": False, "reason": why} for owner, why in left.items()]
        show.as_json([*told, *failures(looked), *skipped])
    else:
        tell_states([known[consent.owner.lower()] for consent in looked.read])
        for owner, why in left.items():
            show.say(f"{owner}: not asked, {why}")
        say_failures(looked)
        if len(names) + len(left) > 1:
            show.say(f"{len(looked.read):,} asked, {len(left):,} left out, {len(looked.failed):,} failed")
    return INCOMPLETE if looked.failed else OK


def _tell_address(config: Config, named: Sequence[str], *, as_json: bool) -> int:
    if config.web.public_url is None:
        raise ConfigError(
            'with sma.grant = "code" owners consent in their browser: set web.public_url to the address under which '
            "they reach this harvester (and web.public to where it listens)"
        )
    address = f"{config.web.public_url.rstrip('/')}/connect"
    links = {owner: connect_link(config.web.public_url, keyring_of(config), _address(owner)) for owner in named}
    if as_json and named:
        show.as_json([{"owner": owner, "connect_url": link} for owner, link in links.items()])
    elif as_json:
        show.as_json({"connect_url": address})
    elif named:
        for owner, link in links.items():
            show.OUT.print(f"{owner}: {link}", markup=False, soft_wrap=True)  # a link must not be broken
    else:
        show.tell(f"Give owners this address; they log in at SMA and agree: {address}")
    return OK


def _to_ask(
    config: Config, owners: Owners, named: Sequence[str], listed: Sequence[str] | None, *, again: bool
) -> tuple[list[str], dict[str, str]]:
    """Return whom to ask, and whom not, with the reason.

    Named owners are always asked, and so are configured ones without names. Of a list and of remembered owners those
    are left out who have accepted or were asked lately. A purged owner is asked by name only.
    """
    if named:
        return list({name.casefold(): _address(name) for name in named}.values()), {}
    known, now = owners.known(), utc_now()
    book = {each.owner.casefold(): each for each in known}
    always = set() if listed is not None else {name.casefold() for name in config.sma.owners}
    wanted = listed if listed is not None else [*config.sma.owners, *all_owners((), known)]
    left = {
        name: why
        for name in wanted
        if (why := _why_not(book.get(name.casefold()), now, again=again or name.casefold() in always))
    }
    names = {name.casefold(): name for name in wanted if name not in left}
    if not names and not left:
        raise _nobody()
    return list(names.values()), left


def _why_not(known: KnownOwner | None, now: datetime, *, again: bool) -> str | None:
    """Return why an owner is not asked by a list; None where the owner is."""
    if known is None:
        return None
    if known.purged_at is not None:
        return f"everything of this owner was deleted on {known.purged_at:%Y-%m-%d}; name the address to ask anew"
    if again:
        return None
    if known.state == ConsentState.ACCEPTED:
        return "has accepted (--again asks all the same, for plants built later)"
    if known.requested_at is not None and now - known.requested_at < LATELY:
        return f"was asked at {known.requested_at:%Y-%m-%d %H:%MZ} (--again asks all the same)"
    return None


async def status(config: Config, named: Sequence[str], *, asking: bool, as_json: bool) -> int:
    """Print how the *named* owners, or all, have answered, and return the exit code.

    Their states are read where *asking* and the grant allow it; what cannot be read now is told as it is remembered.
    """
    with _book(config) as owners:
        looked, names = Looked([], [], {}), _named(config, owners, named)
        if asking and config.sma.grant != CODE:
            looked = await _read(config, owners, names)
        known, came_with = _by_name(owners), owners.came_with()
    now, days = utc_now(), config.alerts.pending_days
    book = {c.owner.lower(): KnownOwner(owner=c.owner, state=c.state, since=now) for c in looked.read} | known
    if as_json:
        told = [facts(name, book) | standing(book.get(name.lower()), came_with, now, days) for name in names]
        errors = {owner.lower(): {"error": str(error)} for owner, error in looked.failed.items()}
        show.as_json([each | errors.get(name.lower(), {}) for name, each in zip(names, told, strict=True)])
    else:
        tell_standing([book[name.lower()] for name in names if name.lower() in book], came_with, now, days)
        say_failures(looked)
    return INCOMPLETE if looked.failed else OK


async def _read(config: Config, owners: Owners, names: Sequence[str]) -> Looked:
    """Read the states of *names*; a stranger whom the service does not know either is not remembered."""
    known = owners.known()
    listed = {name.casefold() for name in all_owners(config.sma.owners, known)}
    purged = {each.owner.casefold() for each in known if each.purged_at is not None}
    names = [name for name in names if name.casefold() not in purged]

    def keep(consent: Consent) -> bool:
        return consent.state is not ConsentState.NOT_ASKED or consent.owner.casefold() in listed

    return await _asked(config, owners, names, lambda client: client.consent_state, keep=keep, fall_back=True)


async def simulate(config: Config, named: Sequence[str], answer: ConsentState, *, as_json: bool) -> int:
    """Answer in place of the *named* owners, or of all, which a sandbox allows; return the exit code."""
    if config.sma.grant == CODE:
        raise ConfigError('consent by e-mail is the custom grant; the configuration says sma.grant = "code"')

    def play(client: Client) -> Callable[[str], Awaitable[Consent]]:
        return lambda owner: client.consent_simulate(owner, answer)

    with _book(config) as owners:
        looked = await _asked(config, owners, _named(config, owners, named), play)
        known = _by_name(owners)
    if as_json:
        show.as_json([*(facts(consent.owner, known) for consent in looked.read), *failures(looked)])
    else:
        tell_states([known[consent.owner.lower()] for consent in looked.read])
        say_failures(looked)
    return INCOMPLETE if looked.failed else OK


def _named(config: Config, owners: Owners, named: Sequence[str]) -> list[str]:
    """Return the *named* owners, or all who are configured or remembered; raises `ConfigError` for nobody."""
    if named:
        return list({name.casefold(): _address(name) for name in named}.values())
    known = owners.known()
    if config.sma.grant == CODE:
        return [each.owner for each in known if each.grant == CODE]
    names = all_owners(asked_owners(config), known)
    if not names:
        raise _nobody()
    return names


def _address(owner: str) -> str:
    try:
        return email_address(owner)
    except ValueError as error:
        raise ConfigError(f"{owner!r} cannot be asked for consent: {error}") from error


def _nobody() -> ConfigError:
    return ConfigError("no owner is named: give e-mail addresses or --file, or set sma.owners")


@contextmanager
def _book(config: Config) -> Iterator[Owners]:
    """Open the owners' book, made with its ledger where there is none yet; raises `LedgerError`."""
    engine = connect(config.ledger.path)
    try:
        yield Owners(engine)
    finally:
        engine.dispose()


async def _asked(
    config: Config,
    owners: Owners,
    names: Sequence[str],
    pull: Callable[[Client], Callable[[str], Awaitable[Consent]]],
    *,
    requested: bool = False,
    keep: Callable[[Consent], bool] = lambda _consent: True,
    fall_back: bool = False,
) -> Looked:
    """Ask the service about each of *names*; raise `NothingToAsk` where it cannot be reached.

    With *fall_back* that is no error as long as something is remembered of any of them.
    """
    with show.progress() as progress:
        progress.planned(len(names))
        async with client_of(config) as client:
            looked = await ask_each(
                pull(client), owners, names, utc_now(), requested=requested, keep=keep, advanced=progress.advanced
            )
    if looked.silence is None:
        return looked
    if not fall_back or not {name.lower() for name in names} & _by_name(owners).keys():
        raise unreached(config.sma.consent_url, looked.silence) from looked.silence
    show.say(f"{config.sma.consent_url} cannot be reached: this is what was known when it last could.")
    return looked


def _by_name(owners: Owners) -> dict[str, KnownOwner]:
    return {each.owner.lower(): each for each in owners.known()}
