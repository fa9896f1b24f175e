"""Links by which an owner who connects is known under a name that the operator chose."""

from __future__ import annotations

from urllib.parse import urlencode

from harvester.state.vault import Keyring

PURPOSE = "connect link"
"""What the mark is for: it is worth nothing elsewhere."""


def connect_link(public_url: str, keyring: Keyring, owner: str) -> str:
    """Return the address by which *owner* is known by that name, in lower case, once connected.

    The mark proves that the operator chose the name; whoever has the link can use it, so it goes to that owner alone.
    """
    label = owner.strip().casefold()
    query = urlencode({"owner": label, "mark": keyring.mark(PURPOSE, label)})
    return f"{public_url.rstrip('/')}/connect?{query}"
