"""All that is killed, by name."""

from collections.abc import Mapping

from care_scenes import CARE
from daemon_scenes import COMPANIES
from harvest_scenes import HARVESTS
from journeys import Scene

SCENES: Mapping[str, type[Scene]] = {kind.name: kind for kind in (*HARVESTS, *CARE, *COMPANIES)}
