"""A local SMA cloud: identity server, consent, and monitoring API with plants that look alive.

It shares no code with the rest of the package, so that a mistake made on one side cannot cancel itself out.
"""

from harvester.sandbox.aggregates import Period
from harvester.sandbox.cloud import Cloud
from harvester.sandbox.counts import Counts
from harvester.sandbox.faults import Faults
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.server import Running, serving
from harvester.sandbox.settings import Settings
from harvester.sandbox.truth import Reading, Truth, TruthSeries
from harvester.sandbox.zones import utc_now

__all__ = [
    "Cloud",
    "Counts",
    "Device",
    "Faults",
    "Period",
    "Plant",
    "Reading",
    "Running",
    "Settings",
    "Truth",
    "TruthSeries",
    "serving",
    "utc_now",
]
