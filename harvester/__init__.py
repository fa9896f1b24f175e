"""Keep a complete, correct copy of what consented SMA plants measure, as partitioned Parquet."""

from importlib.metadata import version

__version__ = version("sma-harvester")
