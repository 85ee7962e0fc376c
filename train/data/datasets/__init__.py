"""Corpora in their official layouts, one file each, and data of one's own."""
