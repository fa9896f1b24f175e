"""``python -m harvester``."""

from harvester.cli.app import main

main()
