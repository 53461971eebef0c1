"""How every public layer and model is built and called: the one table of the contract's tests.

A new layer is one entry here. Sizes are as small as they can be: the tests compile every entry.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from equinet import models, nn
from equinet.data import ego_networks, join_subgraphs
from equinet.groups import SO, Cyclic, GLPlus, group_nodes
from equinet.models.particle_irreps import complete_graph
from equinet.ops.frames import PCAFrame
from equinet.ops.graphs import GraphBatch
from equinet.ops.orientations import polyhedron
from equinet.reps import Points, Scalar, Vector, spherical_harmonics

Inputs = Callable[[Any], tuple[Any, ...]]
REP, NATURAL, MIXED = "2x0e+1o", "0e+1o", "0e+0o+1o"
PLANE, C4 = GLPlus(2), Cyclic(4)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One layer or model.

    Attributes:
        build: From random keys and options to the module.
        inputs: From a dtype to the inputs.
        call: How the module is called; by default on its inputs.
        homogeneous: Whether the output has the shape of the only input: layers can be scanned.
        no_gradient: Parts of the names of parameters that do not change the output at the start.
        follows: Whether the output has the dtype of the input even where ``dtype`` is another.
        options: Whether the constructor takes ``ModuleOptions``.
    """

    build: Callable[..., nnx.Module]
    inputs: Inputs
    call: Callable[..., Any] = lambda module, *inputs: module(*inputs)
    homogeneous: bool = False
    no_gradient: tuple[str, ...] = ()
    follows: bool = False
    options: bool = True


def normal(*shapes: tuple[int, ...]) -> Inputs:
    """Inputs of random numbers."""

    def draw(dtype: Any) -> tuple[Any, ...]:
        rng = np.random.default_rng(0)
        return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)

    return draw


def graph(dtype: Any) -> GraphBatch:
    """Four atoms of two elements, all neighbours of each other."""
    rng = np.random.default_rng(1)
    positions = jnp.asarray(rng.normal(size=(1, 4, 3)), dtype)
    made = complete_graph(positions, jnp.ones((1, 4), bool))
    return dataclasses.replace(made, species=jnp.asarray([0, 1, 1, 0], jnp.int32))


def on_graph(*shapes: tuple[int, ...]) -> Inputs:
    """A graph after random inputs."""
    return lambda dtype: (*normal(*shapes)(dtype), graph(dtype))


def message_passing(dtype: Any) -> tuple[Any, ...]:
    """Nodes, types, harmonics of the edges, radial functions and the graph."""
    atoms = graph(dtype)
    vectors = atoms.positions[atoms.senders] - atoms.positions[atoms.receivers]
    x, radial = normal((4, 4, 2), (12, 2))(dtype)
    types = jax.nn.one_hot(atoms.species, 2, dtype=dtype)
    return x, types, spherical_harmonics(1, vectors), radial, atoms


def convolution(dtype: Any) -> tuple[Any, ...]:
    """The same without types."""
    x, _, *rest = message_passing(dtype)
    return x, *rest


def one_hot(*inputs: Any) -> tuple[Any, ...]:
    """Inputs after which the types of four nodes come."""
    return (*inputs, jax.nn.one_hot(jnp.asarray([0, 1, 1, 0]), 2, dtype=inputs[0].dtype))


def grid_kernels(dtype: Any) -> nn.Kernels:
    """Kernels of three points with six orientations, of two functions."""
    values = normal((1, 3, 3, 3, 2), (6, 6, 2))(dtype)
    return nn.Kernels(values[0], None, values[1])


def cloud_kernels(dtype: Any) -> nn.Kernels:
    """Kernels of three points without orientations."""
    return nn.Kernels(*normal((1, 3, 3, 1, 2))(dtype))


def samples(dtype: Any) -> Any:
    """Two samples of GL+(2)."""
    return group_nodes(PLANE, jax.random.key(0), 2, dtype=dtype)


def subgraphs(dtype: Any) -> tuple[Any, ...]:
    """The ego-networks of a path of three nodes."""
    path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    features = np.asarray(np.random.default_rng(0).normal(size=(3, 1)), np.float32)
    batch = join_subgraphs([ego_networks(path)], [features])
    return (dataclasses.replace(batch, features=jnp.asarray(features, dtype)),)


def adjacency(dtype: Any) -> tuple[Any, ...]:
    """A path of three nodes with features."""
    path = jnp.asarray([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype)
    return path, *normal((3, 2))(dtype)


def frame_averaging(rngs: nnx.Rngs) -> nn.FrameAveraging:
    """A perceptron on coordinates averaged over the principal frames of SO(3)."""
    points = Points(SO(3))
    return nn.FrameAveraging(nn.MLP((3, 4, 3), rngs=rngs), PCAFrame(SO(3)), (points,), points)


def potential(kind: Callable[..., nnx.Module], **small: Any) -> Callable[..., nnx.Module]:
    """A small potential of two elements."""
    return lambda **kw: kind(("H", "O"), cutoff=4.0, channels=2, layers=1, **small, **kw)


LAYERS: dict[str, Entry] = {
    "MLP": Entry(
        lambda **kw: nn.MLP((3, 4, 3), use_bias=True, **kw), normal((2, 3)), homogeneous=True
    ),
    "Linear": Entry(
        lambda **kw: nn.Linear(REP, REP, 2, 2, use_bias=True, **kw),
        normal((4, 5, 2)),
        homogeneous=True,
    ),
    "Dense": Entry(
        lambda **kw: nn.Dense(REP, REP, 2, 2, use_bias=True, **kw),
        normal((4, 5, 2)),
        homogeneous=True,
    ),
    "Bilinear": Entry(
        lambda **kw: nn.Bilinear(Vector(SO(2)), Vector(SO(2)), Scalar(SO(2)), 2, **kw),
        normal((4, 2, 2), (4, 2, 2)),
    ),
    "TensorProduct": Entry(
        lambda **kw: nn.TensorProduct(REP, REP, REP, 2, **kw), normal((4, 5, 2), (4, 5, 2))
    ),
    "BodyOrderExpansion": Entry(
        lambda **kw: nn.BodyOrderExpansion(NATURAL, REP, 2, correlation=2, num_types=2, **kw),
        lambda dtype: one_hot(*normal((4, 4, 2))(dtype)),
    ),
    "Gate": Entry(lambda **kw: nn.Gate(MIXED, **kw), normal((4, 6, 2))),
    "NormActivation": Entry(
        lambda **kw: nn.NormActivation(REP, **kw), normal((4, 5, 2)), homogeneous=True
    ),
    "LayerNorm": Entry(
        lambda **kw: nn.LayerNorm(REP, 2, **kw), normal((4, 5, 2)), homogeneous=True
    ),
    "SeparableLayerNorm": Entry(
        lambda **kw: nn.SeparableLayerNorm(REP, 2, **kw), normal((4, 5, 2)), homogeneous=True
    ),
    "S2Activation": Entry(
        lambda **kw: nn.S2Activation(NATURAL, **kw), normal((4, 4, 2)), homogeneous=True
    ),
    "SeparableS2Activation": Entry(
        lambda **kw: nn.SeparableS2Activation(NATURAL, **kw), normal((4, 5, 2))
    ),
    "RadialNetwork": Entry(
        lambda **kw: nn.RadialNetwork(3.0, 2, hidden=(4,), degree=4, **kw),
        lambda dtype: (jnp.asarray([0.5, 1.0, 4.0], dtype),),
    ),
    "Convolution": Entry(
        lambda **kw: nn.Convolution(NATURAL, NATURAL, NATURAL, 2, **kw), convolution
    ),
    "MessagePassing": Entry(
        lambda **kw: nn.MessagePassing(
            *(NATURAL, NATURAL, 2),
            rep_edge=NATURAL,
            rep_density=NATURAL,
            num_types=2,
            average_neighbours=3.0,
            **kw,
        ),
        message_passing,
    ),
    "GraphAttention": Entry(
        lambda **kw: nn.GraphAttention(NATURAL, NATURAL, 2, 3, heads=2, features=3, **kw),
        on_graph((12, 4, 4), (12, 3), (12,)),
    ),
    "FrameAveraging": Entry(frame_averaging, normal((2, 4, 3)), options=False),
    "PermutationLinear": Entry(
        lambda **kw: nn.PermutationLinear(2, 2, 2, 2, use_bias=True, **kw),
        normal((4, 4, 2)),
        homogeneous=True,
    ),
    "GroupKernel": Entry(
        lambda **kw: nn.GroupKernel(PLANE, 2, radius=1.0, width=4, **kw),
        lambda dtype: (samples(dtype),),
    ),
    "Lifting": Entry(
        lambda **kw: nn.Lifting(PLANE, 2, 2, radius=1.5, width=4, **kw),
        lambda dtype: (*normal((1, 6, 6, 1, 2))(dtype), samples(dtype)),
    ),
    "GroupConvolution": Entry(
        lambda **kw: nn.GroupConvolution(PLANE, 2, 2, radius=1.5, width=4, **kw),
        lambda dtype: (*normal((1, 6, 6, 2, 2))(dtype), samples(dtype)),
    ),
    "KernelBasis": Entry(lambda **kw: nn.KernelBasis(2, 4, 3, degree=2, **kw), normal((3, 2))),
    "GridKernels": Entry(
        lambda **kw: nn.GridKernels(polyhedron("octahedron"), 4, 2, cutoff=3.0, **kw),
        normal((1, 3, 3)),
        lambda module, x: module.dense(x, None),
    ),
    "CloudKernels": Entry(
        lambda **kw: nn.CloudKernels(4, 2, cutoff=3.0, **kw),
        lambda dtype: (*normal((1, 3, 3), (1, 3, 3))(dtype), jnp.ones((1, 3), dtype)),
    ),
    "PointConvolution": Entry(
        lambda **kw: nn.PointConvolution(3, 2, **kw),
        lambda dtype: (*normal((1, 3, 1, 3))(dtype), cloud_kernels(dtype)),
    ),
    "SeparableConvolution": Entry(
        lambda **kw: nn.SeparableConvolution(3, 2, **kw),
        lambda dtype: (*normal((1, 3, 6, 3))(dtype), grid_kernels(dtype)),
    ),
    "ConvNeXtBlock": Entry(
        lambda **kw: nn.ConvNeXtBlock(3, 2, widening=1, layer_scale=0.5, **kw),
        lambda dtype: (*normal((1, 3, 6, 3))(dtype), grid_kernels(dtype)),
    ),
    "SpectralConvolution": Entry(
        lambda **kw: nn.SpectralConvolution(C4, 2, 2, modes=2, **kw),
        normal((1, 4, 4, 4, 2)),
        homogeneous=True,
    ),
}

MODELS: dict[str, Entry] = {
    "EGNN": Entry(
        lambda **kw: models.EGNN(1, hidden=4, layers=2, **kw),
        normal((1, 4, 3), (1, 4, 3), (1, 4, 1)),
        lambda module, *x: module(*x)[0],
        no_gradient=("layers.1.nodes", "readout"),
        follows=True,
    ),
    "EMLP": Entry(
        lambda **kw: models.EMLP(NATURAL, NATURAL, 2, 1, channels=2, num_layers=1, **kw),
        normal((4, 4, 2)),
    ),
    "FNO": Entry(
        lambda **kw: models.FNO(
            *(Scalar(C4), Scalar(C4), 1, 1), modes=2, channels=2, layers=1, **kw
        ),
        normal((1, 4, 4, 1, 1)),
        homogeneous=True,
    ),
    "GIN": Entry(lambda **kw: models.GIN(2, 3, channels=4, num_layers=1, **kw), adjacency),
    "AdjacencyMLP": Entry(
        lambda **kw: models.AdjacencyMLP(3, 2, 2, channels=4, num_layers=1, **kw), adjacency
    ),
    "SPEN": Entry(
        lambda **kw: models.SPEN(1, 2, channels=(2, 2, 2), num_layers=2, **kw),
        subgraphs,
        no_gradient=("layers.1.maps",),
    ),
    "GroupCNN": Entry(
        lambda **kw: models.GroupCNN(
            *(C4, 1, 2), channels=2, blocks=1, radius=1, kernel_width=4, **kw
        ),
        normal((1, 8, 8, 1)),
    ),
    "ParticleGNN": Entry(
        lambda **kw: models.ParticleGNN(4, 1, **kw),
        normal((1, 4, 3), (1, 4, 3), (1, 4)),
        follows=True,
    ),
    "ParticleIrreps": Entry(
        lambda **kw: models.ParticleIrreps(2, 1, lmax=1, radial_hidden=4, **kw),
        normal((1, 4, 3), (1, 4, 3), (1, 4)),
        follows=True,
    ),
    "PointNet": Entry(lambda **kw: models.PointNet(2, 4, **kw), normal((1, 5, 3))),
    "PONITA": Entry(
        lambda **kw: models.PONITA(
            *(1, 0, 1, 0),
            grid=polyhedron("octahedron"),
            channels=3,
            basis=2,
            layers=1,
            widening=1,
            **kw,
        ),
        normal((1, 3, 3), (1, 3, 1)),
        lambda module, *x: module(*x)[0],
    ),
    "Potential": Entry(
        potential(models.Potential, lmax=1, radial_hidden=(4,), radial_degree=4, readout_hidden=2),
        on_graph(),
        follows=True,
    ),
    "OrientationPotential": Entry(
        potential(models.OrientationPotential, basis=2, orientations=6, widening=1),
        on_graph(),
        follows=True,
    ),
}

TABLE = LAYERS | MODELS

NOT_MODULES = {
    "Initializer",
    "Kernels",
    "Module",
    "ModuleOptions",
    "Parameters",
    "PenaltyState",
    "SoftEquivariance",  # a loss, whose input is a module: tests/nn/test_soft_equivariance.py
    "EnergyModel",
    "POTENTIALS",
    "Sampling",
}
"""Public names with a capital that are no layer or model."""
