"""Data: readers, generators, neighbour lists and padded batches of graphs."""
