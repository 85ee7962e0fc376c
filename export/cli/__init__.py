"""Commands of ``python -m export``: one file each."""
