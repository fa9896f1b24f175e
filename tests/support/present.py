"""A present that moves when told, for cloud and harvester alike."""

from datetime import UTC, datetime, timedelta


class Present:
    """A clock: call it for the present, aware UTC."""

    def __init__(self, *moment: int) -> None:
        """Begin at *moment*: year, month, day, hour ..., UTC."""
        self.now = datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now

    def advance(self, **span: float) -> None:
        """Move on by a span, given as to `timedelta`."""
        self.now += timedelta(**span)
