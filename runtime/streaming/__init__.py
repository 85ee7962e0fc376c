"""From chunks of any size to predictions and events, one state machine for files and microphones."""
