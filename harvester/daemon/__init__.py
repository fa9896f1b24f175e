"""The daemon: whose turn it is, what its work is, and what an operator sees of it."""
