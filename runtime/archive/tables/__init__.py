"""The formats of the table, each a class that appends the rows of one recording after the other."""
