from .batching import Budget as Budget
from .batching import ShapeCounter as ShapeCounter
from .batching import batches as batches
from .batching import collate as collate
from .batching import deal as deal
from .batching import round_up as round_up
from .configurations import Configuration as Configuration
from .configurations import format_configurations as format_configurations
from .configurations import from_atoms as from_atoms
from .configurations import read_configurations as read_configurations
from .configurations import read_data_set as read_data_set
from .configurations import write_configurations as write_configurations
from .elements import SYMBOLS as SYMBOLS
from .elements import atomic_number as atomic_number
from .elements import species_index as species_index
from .elements import symbols_of as symbols_of
from .graphs import Graph as Graph
from .graphs import Slots as Slots
from .graphs import to_graph as to_graph
from .graphs import to_graphs as to_graphs
from .neighbours import Neighbours as Neighbours
from .neighbours import complete_cell as complete_cell
from .neighbours import neighbour_list as neighbour_list
from .statistics import Statistics as Statistics
from .statistics import fit_references as fit_references
from .statistics import isolated_atom_energies as isolated_atom_energies
from .statistics import measure as measure
from .statistics import subtract_references as subtract_references
from .xtb import sample_molecule as sample_molecule

__all__ = [
    "SYMBOLS",
    "Budget",
    "Configuration",
    "Graph",
    "Neighbours",
    "ShapeCounter",
    "Slots",
    "Statistics",
    "atomic_number",
    "batches",
    "collate",
    "complete_cell",
    "deal",
    "fit_references",
    "format_configurations",
    "from_atoms",
    "isolated_atom_energies",
    "measure",
    "neighbour_list",
    "read_configurations",
    "read_data_set",
    "round_up",
    "sample_molecule",
    "species_index",
    "subtract_references",
    "symbols_of",
    "to_graph",
    "to_graphs",
    "write_configurations",
]
