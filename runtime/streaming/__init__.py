"""From chunks of any size to predictions and events, one implementation for files and microphones."""
