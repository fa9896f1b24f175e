"""How many of the kills that were asked for each scene gets."""

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import NamedTuple


class Quota(NamedTuple):
    """Kills of one scene."""

    at_steps: int
    """At named steps, each once."""
    at_random: int


def quotas(named: Mapping[str, int], kills: int) -> dict[str, Quota]:
    """Deal out *kills* to scenes with so many *named* steps.

    Where they suffice, each scene is killed at each of its steps, and the rest is shared equally; where they do not,
    each scene has its share of them by the number of its steps.
    """
    whole = sum(named.values())
    over = max(0, kills - whole)
    ends = [round(min(kills, whole) * end / (whole or 1)) for end in accumulate(named.values(), initial=0)]
    return {
        name: Quota(last - first, over // len(named) + (number < over % len(named)))
        for number, (name, (first, last)) in enumerate(zip(named, pairwise(ends), strict=True))
    }
