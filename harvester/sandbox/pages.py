"""What an owner sees: login, consent and error pages, each whole in itself, every text escaped."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from harvester.sandbox.exchange import Answer, Body
from harvester.sandbox.plants import Plant

SHOWN_PLANTS = 50
"""An owner of more reads how many more there are."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #56607a; --paper: #fff; --ground: #eef1f6;
  --line: #c3cad9; --accent: #0b5cad; --on-accent: #fff; --bad: #a3141f; --bad-ground: #fdecee; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9edf6; --soft: #a9b3c9; --paper: #1b2130; --ground: #10141e;
  --line: #46506a; --accent: #7db8f7; --on-accent: #0c1420; --bad: #ffb3b9; --bad-ground: #3d1a20; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 27rem; padding: 2rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: .75rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
p { margin: 0 0 1rem; }
ul { margin: 0 0 1rem; padding-left: 1.25rem; }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600; }
input { width: 100%; padding: .625rem .75rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--soft); border-radius: .375rem; }
input[aria-invalid] { border-color: var(--bad); }
button { padding: .625rem 1.25rem; font: inherit; font-weight: 600; color: var(--accent); background: transparent;
  border: 1px solid var(--accent); border-radius: .375rem; cursor: pointer; }
button.first { color: var(--on-accent); background: var(--accent); }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.row { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.5rem; }
.alert { padding: .75rem 1rem; color: var(--bad); background: var(--bad-ground); border-radius: .375rem; }
.note { margin: 1.5rem 0 0; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .875rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    # no form-action: browsers hold it against the redirect that answers a form, too
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
SCOPES = {
    "monitoringApi:read": "the master data, devices and measured values of these plants",
    "email": "your e-mail address",
    "profile": "your name",
    "offline_access": "all of this also while you are away, until you revoke it",
}
"""What a scope means to an owner, in the order in which it matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What the login page of a sandbox may tell: who owns plants here, and what opens their accounts."""

    owners: tuple[str, ...]
    password: str


def login_page(action: str, hint: Hint, *, username: str = "", failed: bool = False) -> Answer:
    """Ask who the owner is; after a wrong password the answer is 200 again, with the error's text (Keycloak)."""
    alert, invalid = "", ""
    if failed:
        alert = '<p class="alert" id="input-error" role="alert">Invalid username or password.</p>'
        invalid = ' aria-invalid="true" aria-describedby="input-error"'
    names, password = escape(" or ".join(hint.owners)), escape(hint.password)
    return page(
        "Sign in to your account",
        f"""{alert}
<form id="kc-form-login" method="post" action="{escape(action)}">
<label for="username">E-mail address</label>
<input id="username" name="username" type="text" inputmode="email" autocomplete="username" autocapitalize="none"
 spellcheck="false" required autofocus value="{escape(username)}"{invalid}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{invalid}>
<div class="row"><button class="first" id="kc-login" name="login" type="submit">Sign in</button></div>
</form>
<p class="note">This is a local sandbox, not SMA: never type a real password here.
Sign in as {names} with the password <code>{password}</code>.</p>""",
    )


def consent_page(action: str, client: str, owner: str, scope: str, plants: Iterable[Plant]) -> Answer:
    """Ask the owner whether that client may read those plants."""
    found = list(plants)
    rows = [f"<li>{escape(plant.name)} ({escape(plant.plant_id)})</li>" for plant in found[:SHOWN_PLANTS]]
    if len(found) > SHOWN_PLANTS:
        rows.append(f"<li>and {len(found) - SHOWN_PLANTS} more</li>")
    listed = f'<ul id="plants">{"".join(rows)}</ul>' if rows else "<p>You own no plant here yet.</p>"
    wanted = "".join(f"<li>{text}</li>" for name, text in SCOPES.items() if name in scope.split())
    return page(
        f"Grant access to {client}",
        f"""<p>You are signed in as <strong id="owner">{escape(owner)}</strong>.
<strong id="client">{escape(client)}</strong> wants to read, and can change nothing:</p>
<ul id="scopes">{wanted}</ul>
<h2>Your plants</h2>
{listed}
<form method="post" action="{escape(action)}">
<div class="row"><button class="first" id="kc-accept" name="accept" type="submit" value="yes">Accept</button>
<button id="kc-cancel" name="cancel" type="submit" value="no">Cancel</button></div>
</form>
<p class="note">You can revoke this at any time.</p>""",
    )


def error_page(text: str) -> Answer:
    """Say what is wrong to the person in front of the browser, who is sent nowhere."""
    return page("We are sorry …", f'<p class="alert" id="kc-error-message" role="alert">{escape(text)}</p>', 400)


def page(title: str, content: str, status: int = 200) -> Answer:
    """Return a whole page around *content*, which is HTML already; the title is not."""
    html = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1 id="kc-page-title">{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
    return Answer(status=status, body=Body(html.encode()), content_type="text/html; charset=utf-8", headers=HEADERS)
