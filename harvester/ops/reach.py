"""Whether SMA's hosts can be reached, and if not, which step fails: name, connection, certificate.

Opens connections of its own and sends nothing over them: a failure is told without a guess and costs no request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from harvester.ops.finding import Finding, ok, together, wrong

REACHABILITY = "reachability"
PATIENCE = 8.0
"""Seconds for each step of one host."""
_PORTS = {"https": 443, "http": 80}
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")


async def reachable(urls: Sequence[str], environ: Mapping[str, str], *, patience: float = PATIENCE) -> Finding:
    """Connect to the host of each of *urls* once; *environ* tells whether this machine expects a proxy."""
    bases = dict.fromkeys(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, urls))
    found = await asyncio.gather(*(_host(base, patience) for base in bases))
    finding = together(REACHABILITY, found)
    proxy = next((name for name in environ if name.lower() in _PROXIES and environ[name]), None)
    if proxy is None or not finding.remedy:
        return finding
    aside = f" {proxy} is set, but the harvester connects directly and uses no proxy."
    return Finding(finding.name, finding.state, finding.found, finding.remedy + aside)


async def _host(base: str, patience: float) -> Finding:
    parts = urlsplit(base)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or _PORTS[parts.scheme]
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(patience):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError, UnicodeError) as error:
        return wrong(
            REACHABILITY,
            f"{host}: the name cannot be resolved ({_reason(error)})",
            "Check the spelling of the address, and this machine's name server: `getent hosts NAME`.",
        )
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context() if secure else None)
    except (TimeoutError, OSError, ssl.SSLError) as error:
        return _refused(where, error)
    writer.transport.abort()
    return ok(REACHABILITY, f"{where} answers")


def _refused(where: str, error: Exception) -> Finding:
    """Tell trouble with a certificate from a port that nobody listens on and from silence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return wrong(
            REACHABILITY,
            f"{where}: its certificate is not trusted ({error.verify_message})",
            "Check this machine's clock and its package ca-certificates; behind a proxy that opens TLS, name its "
            "authority in SSL_CERT_FILE.",
        )
    if isinstance(error, ssl.SSLError):
        return wrong(
            REACHABILITY,
            f"{where}: no TLS there ({error.reason or 'handshake failed'})",
            "Check scheme and port of the address; a proxy between here and there may be answering.",
        )
    if isinstance(error, ConnectionRefusedError):
        return wrong(
            REACHABILITY,
            f"{where}: connection refused",
            "Nobody listens there: check the port of the address. `harvester sandbox` starts the local cloud.",
        )
    return wrong(
        REACHABILITY,
        f"{where}: no connection ({_reason(error)})",
        "Check that the firewall lets this machine out to that port.",
    )


def _reason(error: BaseException) -> str:
    """Return the system's own words, or that nothing came in time."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error)
