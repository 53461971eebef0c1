"""Tasks: data, model, loss and metrics of one scientific question each."""
