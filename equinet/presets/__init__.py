"""Presets: configs that are installed with the package, `equinet train --config=NAME`.

A preset is an ordinary config file. It imports nothing of equinet, and names its task by a string.
"""
