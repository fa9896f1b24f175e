"""Everything that knows tables and files; nothing that knows HTTP."""

import os

# Arrow reads it once, when its library is loaded. Its other pools keep some 30 MiB of what was used for a moment.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
