"""How time and memory grow with the work, and how fast training is."""
