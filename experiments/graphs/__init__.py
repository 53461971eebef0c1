"""Classification of graphs."""
