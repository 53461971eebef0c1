"""The commands of `equinet`, one file each; what they share is in `_command`."""
