from ._paths import Path as Path
from ._paths import coupling_paths as coupling_paths
from .clebsch_gordan import ClebschGordanProduct as ClebschGordanProduct
from .complete import CompleteProduct as CompleteProduct
from .contraction import ContractionPath as ContractionPath
from .contraction import ContractionProduct as ContractionProduct
from .cp import CPProduct as CPProduct
from .gaunt import GauntProduct as GauntProduct
from .gaunt import ManyBodyGauntProduct as ManyBodyGauntProduct
from .product import PRODUCTS as PRODUCTS
from .product import TensorProduct as TensorProduct
from .product import tensor_product as tensor_product

__all__ = [
    "PRODUCTS",
    "CPProduct",
    "ClebschGordanProduct",
    "CompleteProduct",
    "ContractionPath",
    "ContractionProduct",
    "GauntProduct",
    "ManyBodyGauntProduct",
    "Path",
    "TensorProduct",
    "coupling_paths",
    "tensor_product",
]
