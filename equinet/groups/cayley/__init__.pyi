from .families import FAMILIES as FAMILIES
from .families import CayleyGraph as CayleyGraph
from .families import cayley_graph as cayley_graph
from .families import closed_form as closed_form
from .growth import Growth as Growth
from .growth import cayley_growth as cayley_growth

__all__ = [
    "FAMILIES",
    "CayleyGraph",
    "Growth",
    "cayley_graph",
    "cayley_growth",
    "closed_form",
]
