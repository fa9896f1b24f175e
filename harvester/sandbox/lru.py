"""A bounded store that forgets what was used longest ago."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keep values up to a total weight; with the default weight of one, up to a number of values."""

    def __init__(self, limit: int, weight: Callable[[V], int] = lambda _: 1) -> None:
        self._limit = limit
        self._weight = weight
        self._held = 0
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return the value and mark it as used now, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> V:
        """Keep the value, dropping the longest unused ones beyond the limit."""
        if key in self._values:
            self._held -= self._weight(self._values.pop(key))
        self._values[key] = value
        self._held += self._weight(value)
        while self._held > self._limit and len(self._values) > 1:
            _, dropped = self._values.popitem(last=False)
            self._held -= self._weight(dropped)
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._held = 0
