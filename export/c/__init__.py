"""Plain C from a verified INT8 file: integer operators, a numpy reference of them, and C99 that equals it."""
