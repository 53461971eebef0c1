from .batching import Budget as Budget
from .batching import ShapeCounter as ShapeCounter
from .batching import batches as batches
from .batching import collate as collate
from .batching import deal as deal
from .batching import round_up as round_up
from .elements import atomic_number as atomic_number
from .elements import symbols_of as symbols_of
from .frames import Frame as Frame
from .frames import from_atoms as from_atoms
from .frames import read_data_set as read_data_set
from .frames import read_frames as read_frames
from .frames import write_frames as write_frames
from .graphs import Graph as Graph
from .graphs import to_graph as to_graph
from .graphs import to_graphs as to_graphs
from .neighbours import Neighbours as Neighbours
from .neighbours import neighbour_list as neighbour_list
from .statistics import Statistics as Statistics
from .statistics import fit_references as fit_references
from .statistics import isolated_atom_energies as isolated_atom_energies
from .statistics import measure as measure
from .statistics import subtract_references as subtract_references
from .xtb import generate as generate

__all__ = [
    "Budget",
    "Frame",
    "Graph",
    "Neighbours",
    "ShapeCounter",
    "Statistics",
    "atomic_number",
    "batches",
    "collate",
    "deal",
    "fit_references",
    "from_atoms",
    "generate",
    "isolated_atom_energies",
    "measure",
    "neighbour_list",
    "read_data_set",
    "read_frames",
    "round_up",
    "subtract_references",
    "symbols_of",
    "to_graph",
    "to_graphs",
    "write_frames",
]
