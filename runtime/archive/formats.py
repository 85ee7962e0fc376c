"""Names of the table formats, apart from what writes them, so that the command line starts without that."""

FORMATS = ("csv", "jsonl", "parquet", "raven", "audacity")
