"""From files and chunks to log-mels: decoding, downmix, resampling, level, and the front end in numpy."""
