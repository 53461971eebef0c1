"""Scientific questions (`tasks`) and speed questions (`benchmarks`) asked with equinet."""
