"""Configs: one ``get_config(argument)`` a file, data only."""
