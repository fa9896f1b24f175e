"""What must survive a restart, in one database; nothing that knows HTTP or Parquet."""
