"""The ledger's versions, one after the other."""
