"""What a plant owner sees: whole in itself, no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #17212b; --soft: #51606e; --page: #f2f5f7; --card: #fff; --line: #d5dde3;
  --go: #00629b; --on-go: #fff; --good: #16703c; --bad: #a8201a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef2; --soft: #a7b4bf; --page: #0f151a; --card: #182129;
  --line: #35424d; --go: #6cc0f0; --on-go: #06202f; --good: #7fd69f; --bad: #ff9a92; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.25rem; background: var(--page);
  color: var(--ink); font: 1.0625rem/1.55 system-ui, sans-serif; }
main { width: 100%; max-width: 30rem; padding: 2rem 1.75rem; background: var(--card); border: 1px solid var(--line);
  border-top: .3rem solid var(--go); border-radius: .8rem; overflow-wrap: anywhere; }
main.good { border-top-color: var(--good); }
main.bad { border-top-color: var(--bad); }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
ul { margin: 0 0 1.25rem; padding-left: 1.2rem; }
li { margin-bottom: .3rem; }
button, a.again { display: block; width: 100%; padding: .9rem 1rem; font: inherit; font-weight: 650; text-align: center;
  text-decoration: none; color: var(--on-go); background: var(--go); border: 0; border-radius: .5rem;
  cursor: pointer; }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
.note { margin: 1.25rem 0 0; color: var(--soft); font-size: .9rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    # No form-action: browsers hold it against every redirect that answers a form, and SMA's lead through several hosts.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Server": "harvester",  # a version is nobody's business
}


def welcome(action: str, label: str | None) -> str:
    """Return the page with the button; *action* is where its form goes, *label* whom the operator invited."""
    invited = f"<p>This link is for <strong>{escape(label)}</strong>.</p>" if label else ""
    return _page(
        "Connect your SMA plants",
        f"""{invited}
<p>With your permission we read the measurements of your solar plants from SMA.</p>
<ul>
<li>You log in at SMA. We never see your password.</li>
<li>We read: your plants, their devices and what they measure. We change nothing.</li>
<li>You can withdraw your permission at SMA at any time.</li>
</ul>
<form method="post" action="{escape(action)}"><button id="connect" type="submit">Connect SMA</button></form>
<p class="note">You are led to SMA and back again; it takes about a minute.</p>""",
    )


def thanks() -> str:
    """Return the page at the end of a way that went well."""
    return _page(
        "Thank you, your plants are connected",
        """<p id="thanks">SMA has confirmed your permission. There is nothing more for you to do: you may close this
page.</p>
<p class="note">You can withdraw your permission in your SMA account at any time.</p>""",
        "good",
    )


def trouble(title: str, words: str, again: str | None) -> str:
    """Return a page that says what went wrong; *again* is where to begin anew, None where that would not help."""
    link = f'<a class="again" id="again" href="{escape(again)}">Try again</a>' if again else ""
    return _page(title, f'<p id="trouble" role="alert">{escape(words)}</p>{link}', "bad")


def _page(title: str, content: str, mood: str = "plain") -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main class="{mood}">
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
