"""The front page: what this cloud is, where its addresses are, whose plants it has, and how owners stand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from itertools import groupby
from urllib.parse import urlencode

from harvester.sandbox.exchange import Answer
from harvester.sandbox.pages import page
from harvester.sandbox.plants import Plant
from harvester.sandbox.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an owner lets clients do."""

    consent: str | None
    """State over the back channel; None: never asked."""
    granted: bool
    """A client holds tokens of the code grant."""


NOTHING = Standing(consent=None, granted=False)


def landing_page(
    origin: str, settings: Settings, plants: Iterable[Plant], standing: Callable[[str], Standing]
) -> Answer:
    """Tell a person with a browser how to use the cloud, and let them revoke in an owner's name."""
    found = sorted(plants, key=lambda plant: plant.owner)
    owners = "".join(_owner(name, list(rows), standing(name)) for name, rows in groupby(found, lambda p: p.owner))
    how = _code(origin, settings) if settings.grant == "code" else _custom(origin)
    return page(
        "Local SMA sandbox",
        f"""<p>A stand-in for SMA's cloud, made of invented plants. Nothing here reaches SMA.</p>
<p>Client <code>{escape(settings.client_id)}</code>, whose secret is <code>{escape(settings.client_secret)}</code>,
has the grant <code>{settings.grant}</code>.</p>
{how}
<h2>Addresses</h2>
<ul><li>Tokens: <code>{escape(origin)}/oauth2/token</code></li>
<li>Monitoring: <code>{escape(origin)}/monitoring/v1</code></li>
<li><a href="/.well-known/openid-configuration">What the identity server announces</a></li>
<li><a href="/_sandbox/counts">Requests so far</a></li></ul>
{owners or "<p>There are no plants.</p>"}""",
    )


def _code(origin: str, settings: Settings) -> str:
    query = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": f"{origin}/",
        "scope": "offline_access",
        "state": "try",
    }
    address = escape(f"/oauth2/auth?{urlencode(query)}")
    # this page is no registered address where others are
    look = f"""<p>Or only <a id="try" href="{address}">look at the pages</a>: they lead back here with a code in the
address.</p>"""
    return f"""<h2>Try the code grant</h2>
<p>Set <code>sma.grant = "code"</code> in the harvester's configuration. Every owner's password is
<code>{escape(settings.password)}</code>.</p>{"" if settings.redirect_uris else look}"""


def _custom(origin: str) -> str:
    return f"""<h2>Try the custom grant</h2>
<p>Owners are asked at <code>{escape(origin)}/oauth2/v2/bc-authorize</code>; accept in their name with
<code>harvester consent simulate</code>.</p>"""


def _owner(owner: str, plants: list[Plant], standing: Standing) -> str:
    said = standing.consent or "never asked"
    given = "a client holds tokens" if standing.granted else "no client holds tokens"
    revoke = ""
    if standing.granted or standing.consent == "Accepted":
        revoke = f"""<form method="post" action="/_sandbox/revoke"><div class="row">
<button name="owner" value="{escape(owner)}">Revoke as {escape(owner)}</button></div></form>"""
    return f"""<h2>{escape(owner)}</h2>
<p>{len(plants)} plants. Consent: {escape(said)}; code grant: {given}.</p>{revoke}"""
