"""What one core multiplies and adds at its best, and how much of that each engine gets out of it."""
