"""Studies without a training."""
