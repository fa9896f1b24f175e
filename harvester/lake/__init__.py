"""Everything that knows tables and files; nothing that knows HTTP."""
