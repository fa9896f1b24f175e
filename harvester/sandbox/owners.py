"""The people of the cloud: who has an account, what opens it, and which plants are whose."""

import hmac

from harvester.sandbox.plants import Plant
from harvester.sandbox.settings import Settings
from harvester.sandbox.sma_profile import OWNER as TEST_USER
from harvester.sandbox.world import World


class Owners:
    """Everybody who owns a plant, everybody named in the settings, and the test user of SMA's sandbox page."""

    def __init__(self, settings: Settings, world: World) -> None:
        self._settings = settings
        self._world = world

    def authenticated(self, name: str, password: str) -> str | None:
        """Return the owner, lower case, whom name and password prove; the name counts without regard to case."""
        owner = name.strip().casefold()
        known = {TEST_USER.casefold(), *(name.casefold() for name in self._settings.owners)}
        known.update(plant.owner for plant in self._world.plants())
        right = hmac.compare_digest(password.encode(), self._settings.password.encode())
        return owner if right and owner in known else None

    def plants(self, owner: str) -> list[Plant]:
        """Return the plants of an owner, those built since the last consent too."""
        return [plant for plant in self._world.plants() if plant.owner == owner]

    def with_plants(self) -> tuple[str, ...]:
        """Return who owns a plant now, at most three."""
        return tuple(dict.fromkeys(plant.owner for plant in self._world.plants()))[:3]

    def release(self, owner: str) -> None:
        """Let a consent cover what the owner built before it."""
        self._world.release(owner)
