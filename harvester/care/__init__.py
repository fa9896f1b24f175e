"""Looking after a lake and its ledger: replaying answers, rebuilding, upgrading, checking."""
