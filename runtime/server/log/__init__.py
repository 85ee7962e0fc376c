"""The log of events, and the sound that belongs to them."""
