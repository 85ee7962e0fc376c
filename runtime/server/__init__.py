"""The page of `python -m runtime serve`: live results, browser microphones, a log, an API."""
