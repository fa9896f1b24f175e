"""One module per version; each is frozen once it is released."""
