from . import atoms as atoms
from .directory import DATA_SETS as DATA_SETS
from .directory import DataSet as DataSet
from .directory import data_directory as data_directory
from .directory import data_file as data_file
from .directory import missing_file as missing_file
from .subgraphs import EgoNetworks as EgoNetworks
from .subgraphs import SubgraphBudget as SubgraphBudget
from .subgraphs import ego_networks as ego_networks
from .subgraphs import join_subgraphs as join_subgraphs

__all__ = [
    "DATA_SETS",
    "DataSet",
    "EgoNetworks",
    "SubgraphBudget",
    "atoms",
    "data_directory",
    "data_file",
    "ego_networks",
    "join_subgraphs",
    "missing_file",
]
