"""Everything that knows SMA's protocol; nothing that knows Parquet or a database."""
