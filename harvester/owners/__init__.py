"""Plant owners: their consents over time, and whose plant is whose."""
