"""The command line: arguments to a configuration to one call to an exit code."""

from harvester.cli.app import app, main

__all__ = ["app", "main"]
