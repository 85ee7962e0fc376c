"""The result of ``learn``: measured on held-out recordings, as a page and in pictures."""
