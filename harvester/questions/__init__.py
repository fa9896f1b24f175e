"""What lake and ledger answer without a request: coverage, gaps, causes, costs, sums."""
