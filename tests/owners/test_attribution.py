"""Whose plants are whose: single cases, and a world of owners who come and go at random times."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.owners.attribution import Comparison, Origin, Standing, decided, proven

ANN, BOB, CAT = "ann@example.org", "bob@example.org", "cat@example.org"
HOLDS = Standing(accepted=True, kept=True)
RELEASED = Standing(accepted=True, released=True)
ENDED = Standing(accepted=False, ended=True)
WAITING = Standing(accepted=False)
UNREAD = Standing(accepted=None)


def plants(*names: str) -> frozenset[str]:
    """Return plant ids, or owners."""
    return frozenset(names)


class TestNewPlants:
    """A plant that nobody knows."""

    def decide(self, told: dict[str, str] | None = None, **standings: Standing) -> dict[str, Origin]:
        """Return whose the new plant 2 is beside the old plant 1 of Ann."""
        owners = {f"{name}@example.org": standing for name, standing in standings.items()}
        known = {"1": plants(ANN)}
        lists = Comparison(before=plants("1"), listed=plants("1", "2"), standings=owners, known=known, told=told or {})
        return decided(lists)

    def test_one_acceptance_makes_it_certain(self) -> None:
        """Who has accepted before and who waits cannot have brought it."""
        assert self.decide(ann=HOLDS, bob=RELEASED, cat=WAITING) == {"2": plants(BOB)}

    def test_two_acceptances_leave_two_candidates(self) -> None:
        """And so does an owner whose state cannot be read."""
        assert self.decide(ann=HOLDS, bob=RELEASED, cat=RELEASED) == {"2": plants(BOB, CAT)}
        assert self.decide(ann=HOLDS, bob=RELEASED, cat=UNREAD) == {"2": plants(BOB, CAT)}

    def test_a_request_with_a_consent_that_holds_counts(self) -> None:
        """Added systems are released by asking again."""
        assert self.decide(ann=RELEASED, bob=HOLDS) == {"2": plants(ANN)}

    def test_without_any_occasion_everybody_who_may_have_accepted_is_a_candidate(self) -> None:
        """Purged owners too: nobody asks them any more."""
        gone = Standing(accepted=False, purged=True)
        assert self.decide(ann=HOLDS, bob=HOLDS, cat=WAITING) == {"2": plants(ANN, BOB)}
        assert self.decide(ann=HOLDS, bob=gone) == {"2": plants(ANN, BOB)}

    def test_of_a_crowd_nobody_is_remembered(self) -> None:
        """Hundreds who had accepted long before; once all but a few have left, the few are candidates."""
        crowd = {f"owner{number}@example.org": HOLDS for number in range(300)}
        lists = Comparison(before=plants(), listed=plants("1"), standings=crowd)
        assert decided(lists) == {}
        left = {name: HOLDS if number < 3 else ENDED for number, name in enumerate(crowd)}
        lists = Comparison(before=plants("1"), listed=plants("1"), standings=left)
        assert decided(lists) == {"1": frozenset([*crowd][:3])}

    def test_the_only_owner_is_certain_whatever_the_state(self) -> None:
        """There is nobody else."""
        for standing in (HOLDS, RELEASED, WAITING, ENDED, UNREAD):
            lists = Comparison(before=plants(), listed=plants("1"), standings={ANN: standing})
            assert decided(lists) == {"1": plants(ANN)}

    def test_what_the_token_tells_is_certain(self) -> None:
        """Whatever was thought before."""
        assert self.decide({"1": BOB, "2": BOB}, ann=HOLDS, bob=HOLDS) == {"1": plants(BOB), "2": plants(BOB)}

    def test_without_any_owner_nothing_is_decided(self) -> None:
        """No empty set of candidates."""
        assert decided(Comparison(before=plants(), listed=plants("1"), standings={})) == {}


class TestGonePlants:
    """Plants that are not listed any more."""

    def test_one_that_vanished_is_of_the_owner_whose_consent_ended(self) -> None:
        """Of two candidates the other one's consent holds."""
        known = {"1": plants(BOB), "2": plants(BOB, CAT)}
        owners = {ANN: HOLDS, BOB: HOLDS, CAT: ENDED}
        lists = Comparison(before=plants("1", "2"), listed=plants("1"), standings=owners, known=known)
        assert lists.credible
        assert decided(lists) == {"2": plants(CAT)}

    def test_a_list_that_lacks_more_than_ended_consents_explain_decides_nothing(self) -> None:
        """A faulty list beside a revocation must not make a plant certainly the wrong owner's."""
        known = {"1": plants(ANN), "2": plants(BOB, CAT)}
        owners = {ANN: HOLDS, BOB: HOLDS, CAT: ENDED}
        lists = Comparison(before=plants("1", "2"), listed=plants(), standings=owners, known=known)
        assert not lists.credible
        assert decided(lists) == {}

    def test_one_of_a_crowd_is_of_the_one_who_left(self) -> None:
        """Nothing was known of the plant, and one consent ended."""
        crowd = {f"owner{number}@example.org": HOLDS for number in range(300)} | {CAT: ENDED, ANN: WAITING}
        lists = Comparison(before=plants("1", "2"), listed=plants("1"), standings=crowd)
        assert lists.credible
        assert decided(lists)["2"] == plants(CAT)

    def test_nobody_loses_every_plant_by_the_end_of_anothers_consent(self) -> None:
        """All plants are of two candidates, one of whom revoked, and all are gone: the list is faulty."""
        known = {"1": plants(BOB, CAT), "2": plants(BOB, CAT)}
        owners = {BOB: HOLDS, CAT: ENDED}
        lists = Comparison(before=plants("1", "2"), listed=plants(), standings=owners, known=known)
        assert not lists.credible
        assert decided(lists) == {}

    def test_an_empty_list_is_not_credible_while_plants_are_missing(self) -> None:
        """The second empty list in a row lacks nothing that the first had."""
        owners = {ANN: HOLDS}
        lists = Comparison(before=plants(), listed=plants(), missing=plants("1"), standings=owners)
        assert not lists.credible

    def test_one_that_stays_is_not_of_an_owner_whose_consent_ended_long_ago(self) -> None:
        """Right after the end it may be listed still."""
        known = {"2": plants(BOB, CAT)}
        before = Standing(accepted=False, ended=True, ended_before=True)
        for standing, expected in ((before, {"2": plants(BOB)}), (ENDED, {})):
            owners = {BOB: HOLDS, CAT: standing}
            lists = Comparison(before=plants("2"), listed=plants("2"), standings=owners, known=known)
            assert decided(lists) == expected

    def test_a_listed_plant_whose_certain_owner_left_long_ago_is_somebody_elses(self) -> None:
        """SMA lets an administrator give the owner's role to another; who that is, any consent that holds may say."""
        before = Standing(accepted=False, ended=True, ended_before=True)
        owners = {ANN: before, BOB: HOLDS, CAT: HOLDS}
        known = {"1": plants(ANN)}
        lists = Comparison(before=plants("1"), listed=plants("1"), standings=owners, known=known)
        assert decided(lists) == {"1": plants(BOB, CAT)}


@dataclass
class World:
    """Owners with plants, what SMA lists, and what a harvester knows of it; `look` and `enumerate` are its moves."""

    owners: list[str]
    truth: dict[str, str] = field(default_factory=dict)
    """Whose each plant is."""
    accepted: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """Asked and not answered."""
    ended: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    """As last read."""
    occasions: dict[str, int] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """Owners who were asked since the list was."""
    number: int = 0
    known: dict[str, Origin] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    happened: list[str] = field(default_factory=list)
    """Owners who released plants since the list before."""

    def act(self, name: str, owner: str) -> None:
        """Let an owner or the harvester do one thing, where the state of the consent allows it."""
        if name == "accept" and owner in self.waiting:
            self.waiting.discard(owner)
            self.accepted.add(owner)
            if owner not in self.truth.values():
                self.build(owner)
            self.happened.append(owner)
        elif name == "reject" and owner in self.waiting:
            self.waiting.discard(owner)
            self.ended[owner] = "Rejected"
        elif name == "revoke" and owner in self.accepted:
            self.accepted.discard(owner)
            self.ended[owner] = "Revoked"
        elif name == "request":
            self.request(owner)
        elif name == "look":
            self.look(owner)

    def request(self, owner: str) -> None:
        """Ask for consent; with one that holds, plants that were added are released."""
        self.asked.add(owner)
        if owner in self.accepted:
            self.build(owner)
            self.happened.append(owner)
            self.states[owner] = "Accepted"
            self.occasion(owner)
        else:
            self.ended.pop(owner, None)
            self.waiting.add(owner)
            self.states[owner] = "Pending"

    def build(self, owner: str) -> None:
        """Put up one more plant."""
        self.truth[str(len(self.truth))] = owner

    def occasion(self, owner: str) -> None:
        """Remember that this owner may have released plants."""
        self.number += 1
        self.occasions[owner] = self.number

    def look(self, owner: str) -> bool:
        """Read a consent; return whether it turned out to be accepted."""
        now = "Accepted" if owner in self.accepted else self.ended.get(owner, "Pending")
        before, self.states[owner] = self.states.get(owner), now
        if now == "Accepted" and before != now:
            self.occasion(owner)
            return True
        return False

    def enumerate(self, meanwhile: list[tuple[str, str]]) -> None:
        """Ask for the list, let things happen, read the consents that matter, compare; again if need be."""
        for _ in range(3):
            mark, start, had = self.number, dict(self.states), dict(self.occasions)
            listed = frozenset(plant for plant, owner in self.truth.items() if owner in self.accepted)
            self.asked.clear()
            for action in meanwhile:
                self.act(*action)
            meanwhile = []
            fresh = self.worth_reading(listed)
            suspects = {owner for owner in sorted(fresh) if self.look(owner)}
            lists = self.compared(
                listed, start, {owner for owner in fresh if self.occasions.get(owner) == had.get(owner)}
            )
            changed = decided(lists)
            self.known |= changed
            self.listed = listed
            sure = set(proven(lists, changed, suspects))
            until = mark if lists.credible else 0
            self.occasions = {o: n for o, n in self.occasions.items() if n > until and o not in sure}
            if not suspects - sure:
                break

    def worth_reading(self, listed: frozenset[str]) -> set[str]:
        """Return whose consents may explain what is new and what is gone."""
        unread = {owner for owner in self.owners if self.states[owner] != "Accepted"}
        names: set[str] = set()
        if any(all(self.over(owner) for owner in self.known.get(plant, ())) for plant in listed):
            names |= unread
        for plant in listed & self.known.keys():
            origin = self.known[plant]
            names |= {owner for owner in origin if self.over(owner)}
            names |= origin & unread if plant not in self.listed or origin <= unread else set()
        return names.union(*(self.known[plant] for plant in self.listed - listed))

    def over(self, owner: str) -> bool:
        """Return whether the consent was last read as ended."""
        return self.states[owner] in {"Rejected", "Revoked"}

    def compared(self, listed: frozenset[str], start: dict[str, str], fresh: set[str]) -> Comparison:
        """Return the two lists as the harvester sees them; *start* are the states before, *fresh* those read after."""
        standings = {
            owner: Standing(
                accepted=self.states[owner] == "Accepted",
                kept=owner in fresh and self.states[owner] == start[owner] == "Accepted",
                held=self.over(owner) and start[owner] in {"Accepted", "Pending"},
                ended=self.over(owner),
                ended_before=self.over(owner) and start[owner] in {"Rejected", "Revoked"},
                released=owner in {*self.occasions, *self.asked}
                or (self.states[owner], start[owner]) == ("Revoked", "Pending"),
            )
            for owner in self.owners
        }
        return Comparison(before=self.listed, listed=listed, standings=standings, known=dict(self.known))


OWNERS = [ANN, BOB, CAT, "dan@example.org"]
ACTION = st.tuples(
    st.sampled_from(["accept", "accept", "request", "reject", "revoke", "look"]), st.sampled_from(OWNERS)
)
STEP = st.tuples(st.lists(ACTION, max_size=5), st.lists(ACTION, max_size=2))
"""What happens before a list is asked for, and between the list and the looks that it causes."""


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=12))
def test_the_true_owner_is_always_among_the_candidates(steps: list[tuple[list[tuple[str, str]], ...]]) -> None:
    """Whoever accepts, rejects, revokes, adds systems and is looked at whenever; candidates never grow."""
    world = World(OWNERS)
    for owner in OWNERS:
        world.act("request", owner)
    for before, meanwhile in steps:
        for action in before:
            world.act(*action)
        earlier = dict(world.known)
        world.enumerate(meanwhile)
        assert set(world.listed) <= world.known.keys()
        for plant, origin in world.known.items():
            assert world.truth[plant] in origin
            assert origin <= earlier.get(plant, origin)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OWNERS), st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_with_one_acceptance_between_two_lists_it_is_certain(steps: list[tuple[str, bool, bool]]) -> None:
    """Whether the consent was read before the list or only after it, accepted anew or with added systems."""
    world = World(OWNERS)
    for owner in OWNERS:
        world.act("request", owner)
    for owner, looked_at, again in steps:
        world.happened.clear()
        world.act("revoke" if again and owner in world.accepted else "look", owner)
        world.enumerate([])
        world.act("request", owner)
        world.act("accept", owner)
        if looked_at:
            world.look(owner)
        assert set(world.happened) <= {owner}
        world.enumerate([])
        assert all(origin == {world.truth[plant]} for plant, origin in world.known.items())
