from .graph import GraphBatch as GraphBatch
from .graph import by_receiver as by_receiver
from .graph import edge_vectors as edge_vectors
from .graph import edges_to_slots as edges_to_slots
from .graph import gather_senders as gather_senders
from .graph import max_receivers as max_receivers
from .graph import mean_receivers as mean_receivers
from .graph import softmax_receivers as softmax_receivers
from .graph import sum_graphs as sum_graphs
from .graph import sum_receivers as sum_receivers
from .graph import sum_senders as sum_senders
from .permutation import PermutationMaps as PermutationMaps
from .radial import bessel_basis as bessel_basis
from .radial import chebyshev_basis as chebyshev_basis
from .radial import chebyshev_interpolation as chebyshev_interpolation
from .radial import gaussian_basis as gaussian_basis
from .radial import polynomial_envelope as polynomial_envelope
from .subgraphs import SubgraphBatch as SubgraphBatch
from .subgraphs import average_over_subgraphs as average_over_subgraphs
from .subgraphs import from_subgraphs as from_subgraphs
from .subgraphs import to_subgraphs as to_subgraphs

__all__ = [
    "GraphBatch",
    "PermutationMaps",
    "SubgraphBatch",
    "average_over_subgraphs",
    "bessel_basis",
    "by_receiver",
    "chebyshev_basis",
    "chebyshev_interpolation",
    "edge_vectors",
    "edges_to_slots",
    "from_subgraphs",
    "gather_senders",
    "gaussian_basis",
    "max_receivers",
    "mean_receivers",
    "polynomial_envelope",
    "softmax_receivers",
    "sum_graphs",
    "sum_receivers",
    "sum_senders",
    "to_subgraphs",
]
