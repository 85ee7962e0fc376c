"""Corpora in their official layouts, one file each, and custom data: folders and tables."""
