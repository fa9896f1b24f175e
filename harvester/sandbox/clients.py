"""The two clients of the cloud: their secrets, their one grant each, and where the code grant may send a browser."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from harvester.sandbox.exchange import Call
from harvester.sandbox.settings import Settings

Flow = Literal["custom", "code"]


class Clients:
    """Who may ask for tokens; a client supports one of the two grants, never both (documented)."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = {
            settings.client_id: settings.client_secret,
            settings.code_client_id: settings.code_client_secret,
        }
        self._flows: dict[str, Flow] = {settings.code_client_id: "code", settings.client_id: settings.grant}
        self._redirects = settings.redirect_uris

    def flow(self, client: str) -> Flow | None:
        """Return the grant that a client supports; None for a stranger."""
        return self._flows.get(client)

    def authenticated(self, call: Call, fields: Mapping[str, str]) -> str | None:
        """Return the client whose secret came among the fields or as HTTP Basic."""
        name, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        scheme, _, text = call.headers.get("Authorization", "").partition(" ")
        if scheme.casefold() == "basic":
            try:
                name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
        known = self._secrets.get(name)
        return name if known is not None and hmac.compare_digest(known.encode(), secret.encode()) else None

    def registered(self, address: str) -> bool:
        """Say whether a browser may be sent to that redirect_uri; a trailing star is any ending, as at Keycloak."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        written = address.isascii() and address.isprintable() and "#" not in address
        if not written or parts.scheme not in {"http", "https"} or not parts.hostname:
            return False
        if not self._redirects:
            return loopback(parts.hostname)
        return any(
            address.startswith(entry[:-1]) if entry.endswith("*") else address == entry for entry in self._redirects
        )


def loopback(host: str) -> bool:
    """Say whether a host name or address means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
