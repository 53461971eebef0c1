from .activations import Gate as Gate
from .activations import NormActivation as NormActivation
from .attention import GraphAttention as GraphAttention
from .bilinear import Bilinear as Bilinear
from .convolution import Convolution as Convolution
from .convolution import edge_features as edge_features
from .frame_averaging import FrameAveraging as FrameAveraging
from .group_kernels import GroupKernel as GroupKernel
from .lie_convolution import GroupConvolution as GroupConvolution
from .lie_convolution import Lifting as Lifting
from .linear import Linear as Linear
from .message_passing import MessagePassing as MessagePassing
from .mlp import MLP as MLP
from .module import Initializer as Initializer
from .module import Module as Module
from .module import ModuleOptions as ModuleOptions
from .module import Parameters as Parameters
from .module import check_feature as check_feature
from .normalization import LayerNorm as LayerNorm
from .normalization import SeparableLayerNorm as SeparableLayerNorm
from .orientation_kernels import CloudKernels as CloudKernels
from .orientation_kernels import GridKernels as GridKernels
from .orientation_kernels import KernelBasis as KernelBasis
from .orientation_kernels import Kernels as Kernels
from .permutation import PermutationLinear as PermutationLinear
from .position_orientation import ConvNeXtBlock as ConvNeXtBlock
from .position_orientation import PointConvolution as PointConvolution
from .position_orientation import SeparableConvolution as SeparableConvolution
from .position_orientation import calibrate as calibrate
from .product import BodyOrderExpansion as BodyOrderExpansion
from .product import TensorProduct as TensorProduct
from .radial import RadialNetwork as RadialNetwork
from .s2_activation import S2Activation as S2Activation
from .s2_activation import SeparableS2Activation as SeparableS2Activation
from .soft_equivariance import Dense as Dense
from .soft_equivariance import PenaltyState as PenaltyState
from .soft_equivariance import SoftEquivariance as SoftEquivariance
from .soft_equivariance import equivariance_penalty as equivariance_penalty
from .spectral_convolution import SpectralConvolution as SpectralConvolution

__all__ = [
    "MLP",
    "Bilinear",
    "BodyOrderExpansion",
    "CloudKernels",
    "ConvNeXtBlock",
    "Convolution",
    "Dense",
    "FrameAveraging",
    "Gate",
    "GraphAttention",
    "GridKernels",
    "GroupConvolution",
    "GroupKernel",
    "Initializer",
    "KernelBasis",
    "Kernels",
    "LayerNorm",
    "Lifting",
    "Linear",
    "MessagePassing",
    "Module",
    "ModuleOptions",
    "NormActivation",
    "Parameters",
    "PenaltyState",
    "PermutationLinear",
    "PointConvolution",
    "RadialNetwork",
    "S2Activation",
    "SeparableConvolution",
    "SeparableLayerNorm",
    "SeparableS2Activation",
    "SoftEquivariance",
    "SpectralConvolution",
    "TensorProduct",
    "calibrate",
    "check_feature",
    "edge_features",
    "equivariance_penalty",
]
