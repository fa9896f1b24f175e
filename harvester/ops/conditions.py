"""What is wrong at the moment: said once when it begins and once when it is over, however often it is met between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

log = structlog.get_logger()


class Conditions:
    """Conditions that last, by key; *wall* answers aware UTC."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._since: dict[str, datetime] = {}

    def holds(self, key: str) -> bool:
        """Tell whether *key* is on."""
        return key in self._since

    def began(self, key: str, **facts: object) -> bool:
        """Note that *key* is on and log it with its *facts* if it was not; return whether it was not."""
        if key in self._since:
            return False
        self._since[key] = self._wall()
        log.warning("trouble.began", what=key, **facts)
        return True

    def over(self, key: str, **facts: object) -> bool:
        """Note that *key* is off and log it with its *facts* if it was on; return whether it was."""
        since = self._since.pop(key, None)
        if since is None:
            return False
        log.info("trouble.over", what=key, lasted_seconds=round((self._wall() - since).total_seconds()), **facts)
        return True

    def resume(self, key: str, since: datetime) -> None:
        """Take over, without a word, what an earlier process said already: *key* is on *since* then."""
        self._since[key] = since
