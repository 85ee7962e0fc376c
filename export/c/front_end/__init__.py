"""The front end of the C code: its constants in float32 and in fixed point, and the sizes of its stream."""
