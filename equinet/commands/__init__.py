"""What the `equinet` command runs."""
