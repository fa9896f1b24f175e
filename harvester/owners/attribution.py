"""Which owner a plant came with: certain, or a set of candidates. Pure.

SMA's plant list is the union of the plants of all owners who have accepted, without a word about whose is whose. So
two lists are compared: a new plant came with one of the owners who may have released plants between the two, and a
plant that vanished went with one whose consent ended. Candidates are only ever taken away, and never the last one,
unless facts contradict what was certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

Origin = frozenset[str]
"""The owners a plant may have come with; exactly one is certain."""
MOST = 50
"""Candidates that are worth remembering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of one owner once a plant list has come."""

    accepted: bool | None
    """Whether the consent holds; None where it cannot be read."""
    kept: bool = False
    """The consent held before the list was asked for and without a break after it."""
    held: bool = False
    """The consent is over now, and may have held when the list was made."""
    ended: bool = False
    """The consent is over: Revoked, Rejected or Expired."""
    ended_before: bool = False
    """It was over well before the list was asked for, and still is: what is listed is not this owner's."""
    released: bool = False
    """Plants may have been released since the list before: accepted anew, or asked again with a consent that holds."""
    purged: bool = False
    """Never asked again, so that nobody knows whether SMA lists the plants still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two plant lists, one after the other, and what is known of the owners."""

    before: frozenset[str]
    """Plants of the list before."""
    listed: frozenset[str]
    """Plants of this list."""
    missing: frozenset[str] = frozenset()
    """Plants that were not in the list before either, and were neither withdrawn nor moved."""
    standings: Mapping[str, Standing]
    """Every owner who is known."""
    known: Mapping[str, Origin] = field(default_factory=dict)
    """What was decided so far."""
    told: Mapping[str, str] = field(default_factory=dict)
    """Plants whose owner is no question: in the code grant the token tells."""

    @property
    def vanished(self) -> frozenset[str]:
        """Plants that the list before had and this one lacks."""
        return self.before - self.listed

    @property
    def credible(self) -> bool:
        """Whether ended consents explain what vanished: a faulty list is a success to SMA too."""
        if not self.listed and self.missing:
            return False
        return self._explained(self.vanished)

    def _explained(self, plants: AbstractSet[str]) -> bool:
        """Tell whether each plant may be of an owner whose consent ended, and nobody else has lost every plant."""
        origins = {self.known.get(plant, self.leaving) for plant in plants}
        ended = {owner for owner, standing in self.standings.items() if standing.ended}
        kept = {owner for owner, standing in self.standings.items() if standing.kept}
        nobody: Origin = frozenset()
        left = nobody.union(*{self.known.get(plant, frozenset(self.standings)) for plant in self.listed})
        return all(origin & ended and origin & kept <= left for origin in origins)

    @property
    def gone(self) -> frozenset[str]:
        """Plants that are not listed because consents ended; none where anything else may be the reason."""
        gone = (self.before | self.missing) - self.listed
        return gone if self._explained(gone) else frozenset()

    @property
    def leaving(self) -> Origin:
        """Owners whose plants may have left the list: candidates for a plant of which nothing is known."""
        return frozenset(o for o, s in self.standings.items() if s.ended or s.accepted is None)

    @property
    def releasing(self) -> Origin:
        """Owners who may have released plants between the two lists."""
        return frozenset(o for o, s in self.standings.items() if not s.purged and (s.released or s.accepted is None))

    @property
    def possible(self) -> Origin:
        """Owners whose plants may be listed at all; everybody where nobody's can."""
        found = frozenset(o for o, s in self.standings.items() if s.accepted is not False or s.held or s.purged)
        return found or frozenset(self.standings)


def decided(lists: Comparison) -> dict[str, Origin]:
    """Return the plants whose owners are known better than before, with what is known now.

    A plant of more than `MOST` candidates is left out: to know nothing of it is the same, and costs nothing.
    """
    new = lists.listed - lists.before - lists.missing
    possible = lists.possible
    releasing, leaving = lists.releasing or possible, lists.leaving
    found = {plant: _of_listed(plant, lists, releasing if plant in new else possible) for plant in lists.listed}
    found |= {plant: _of_gone(lists.known.get(plant, leaving), lists.standings) for plant in lists.gone}
    known = lists.known
    return {plant: origin for plant, origin in found.items() if 0 < len(origin) <= MOST and origin != known.get(plant)}


def _of_listed(plant: str, lists: Comparison, unknown: Origin) -> Origin:
    """Decide about a plant that is listed: its owner's consent holds; *unknown* where nothing is known of it."""
    if plant in lists.told:
        return frozenset({lists.told[plant]})
    if plant not in lists.known:
        return unknown
    outdated = {o for o in lists.known[plant] if o in lists.standings and lists.standings[o].ended_before}
    # a listed plant of nobody whose consent holds contradicts what was known: it was given to somebody else
    return lists.known[plant] - outdated or lists.possible


def _of_gone(known: Origin, standings: Mapping[str, Standing]) -> Origin:
    """Decide about a plant that is gone since a consent ended: it is not of an owner whose consent held."""
    kept = {owner for owner in known if owner in standings and standings[owner].kept}
    return known - kept or known


def proven(lists: Comparison, changed: Mapping[str, Origin], suspects: AbstractSet[str]) -> list[str]:
    """Return the *suspects* who had accepted before the list was made: a plant new in it can be nobody else's."""
    origins = (changed.get(plant) or lists.known.get(plant, frozenset()) for plant in lists.listed - lists.before)
    sure = {owner for origin in origins if len(origin) == 1 for owner in origin}
    return sorted(suspects & sure)
