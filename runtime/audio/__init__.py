"""Audio as samples: scale, level, resampling, and the log-mel front end in numpy."""
