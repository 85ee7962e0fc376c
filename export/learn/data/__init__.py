"""The sounds of a user: clips, recordings, what is held out, faults, and sounds of none of the classes."""
