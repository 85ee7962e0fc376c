"""``learn``: a folder of sounds becomes one verified INT8 file, by the steps of `train` and `export`."""
