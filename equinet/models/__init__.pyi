from .egnn import EGNN as EGNN
from .emlp import EMLP as EMLP
from .energy import EnergyModel as EnergyModel
from .fno import FNO as FNO
from .fno import rollout as rollout
from .graph_networks import GIN as GIN
from .graph_networks import AdjacencyMLP as AdjacencyMLP
from .graph_networks import frame_averaged as frame_averaged
from .group_cnn import GroupCNN as GroupCNN
from .group_cnn import Sampling as Sampling
from .orientation_potential import OrientationPotential as OrientationPotential
from .particle_irreps import ParticleIrreps as ParticleIrreps
from .particles import ParticleGNN as ParticleGNN
from .particles import charge_products as charge_products
from .particles import frame_averaged_gnn as frame_averaged_gnn
from .point_net import PointNet as PointNet
from .ponita import PONITA as PONITA
from .potential import POTENTIALS as POTENTIALS
from .potential import Potential as Potential
from .potential import potential_class as potential_class
from .potential import potential_from_spec as potential_from_spec
from .subgraph_permutation import SPEN as SPEN
from .subgraph_permutation import standardize as standardize

__all__ = [
    "EGNN",
    "EMLP",
    "FNO",
    "GIN",
    "PONITA",
    "POTENTIALS",
    "SPEN",
    "AdjacencyMLP",
    "EnergyModel",
    "GroupCNN",
    "OrientationPotential",
    "ParticleGNN",
    "ParticleIrreps",
    "PointNet",
    "Potential",
    "Sampling",
    "charge_products",
    "frame_averaged",
    "frame_averaged_gnn",
    "potential_class",
    "potential_from_spec",
    "rollout",
    "standardize",
]
