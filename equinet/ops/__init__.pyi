from . import edges as edges
from . import frames as frames
from . import graphs as graphs
from . import images as images
from . import orientations as orientations
from . import products as products
from . import sphere as sphere

__all__ = [
    "edges",
    "frames",
    "graphs",
    "images",
    "orientations",
    "products",
    "sphere",
]
