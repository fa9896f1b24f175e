"""The side of the operator: what shows, warns, checks and sets up."""
