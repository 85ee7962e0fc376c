"""Many recordings to one table: in parallel, resumable, the same bytes in any order of classifying."""
