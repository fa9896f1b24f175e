"""Every error the harvester raises on purpose.

The class says what to do next, the attributes carry the facts, the text says what, where and what to do::

    HarvestError
    ├── AnswerError               something about one request
    │   ├── Retry                 the same request may succeed in a moment
    │   │   ├── Unreachable       no answer: refused, reset, name not resolved, TLS
    │   │   │   └── Untrusted     another's certificate, which the next try would meet as well
    │   │   ├── TimedOut          no answer in time
    │   │   ├── ServerTrouble     5xx, 408, 425
    │   │   ├── Throttled         429, with the wait the server asked for
    │   │   └── BadBody           200, but the body is not what was promised
    │   └── Skip                  it will not succeed now, others may; what it asked for stays due
    │       ├── NotFound          404
    │       ├── Forbidden         403
    │       ├── Moved             308 that could not be followed
    │       ├── OwnerRefused      one owner's token is not taken any more: the consent has ended
    │       └── Rejected          any other 4xx
    └── Stop                      the run ends
        ├── CredentialsRefused    the token endpoint does not take the client
        ├── NothingToAsk          no owner has accepted
        ├── ConfigError           a key, type or value is wrong
        ├── LakeError             the lake cannot be used
        │   ├── Locked            another process writes to it
        │   └── Full              no space is left
        └── LedgerError           the ledger cannot be used
            ├── LedgerFull        no space is left for it
            └── Unsealed          no key opens what is kept encrypted

``exit_code`` on each class is the code that the command line ends with when that error ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping


class HarvestError(Exception):
    """Root of all errors of the harvester."""

    exit_code = 1


class AnswerError(HarvestError):
    """Something about one request; *status* is the HTTP status, or None where no answer came."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Retry(AnswerError):
    """The same request may succeed in a moment; *retry_after* is the wait in seconds that the server asked for."""

    exit_code = 3

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class Unreachable(Retry):
    """No answer: connection refused or reset, name not resolved, TLS failure."""


class Untrusted(Unreachable):
    """The server's certificate is not trusted: nothing was sent, and to try again at once would bring the same."""


class TimedOut(Retry):
    """No answer, or not a whole one, in time."""


class ServerTrouble(Retry):
    """The server says that it is in trouble (5xx, 408, 425)."""


class Throttled(Retry):
    """429: the budget of the credentials is spent; without *retry_after*, until the window has passed."""


class BadBody(Retry):
    """The status promised a body that did not come: HTML, nothing, cut JSON, too large."""


class Skip(AnswerError):
    """This request will not succeed now; others may."""

    exit_code = 3


class NotFound(Skip):
    """404: unknown plant, device, set, or consent."""


class Forbidden(Skip):
    """403: the owner has not consented, or the credentials lack the right for this API."""


class Moved(Skip):
    """A redirect that was not followed: to another host, or in a circle."""


class OwnerRefused(Skip):
    """One owner's token is not taken any more: the consent has ended, and only the owner can renew it."""


class Rejected(Skip):
    """Any other refusal (4xx)."""


class Stop(HarvestError):
    """The run ends."""


class CredentialsRefused(Stop):
    """The token endpoint does not take the client id, the secret or the grant."""

    exit_code = 4


class NothingToAsk(Stop):
    """No owner has accepted, so there is nothing that may be asked."""

    exit_code = 4


class ConfigError(Stop):
    """The configuration or the call is wrong; *problems* maps a key's path to what would be right."""

    exit_code = 2

    def __init__(self, message: str, *, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.problems = dict(problems or {})


class LakeError(Stop):
    """The lake cannot be used: unwritable, full, of another host or of a newer version."""

    exit_code = 2


class Locked(LakeError):
    """Another process writes to the lake; *holder* names it, *daemons* the shares of those that take orders."""

    def __init__(self, message: str, *, holder: str, daemons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.holder = holder
        self.daemons = daemons


class Full(LakeError):
    """No space is left for the lake: not a mistake of the call, so the code of an unexpected error."""

    exit_code = 1


class LedgerError(Stop):
    """The ledger cannot be used: unreachable, corrupt, of a newer version or of another lake."""

    exit_code = 2


class LedgerFull(LedgerError):
    """No space is left for the ledger: not a mistake of the call either."""

    exit_code = 1


class Unsealed(LedgerError):
    """No key of the configuration opens a secret of the ledger: the key is another, or the row was changed."""
