from ._group_images import Pooling as Pooling
from ._group_images import average_pixels as average_pixels
from ._group_images import convolve_group_images as convolve_group_images
from ._group_images import pixel_offsets as pixel_offsets
from ._group_images import window_half_width as window_half_width
from .convolution import convolve_images as convolve_images
from .convolution import correlate_images as correlate_images
from .depthwise import Boundary as Boundary
from .depthwise import depthwise_convolution as depthwise_convolution
from .depthwise import depthwise_correlation as depthwise_correlation
from .spectral import SpectralMethod as SpectralMethod
from .spectral import from_low_modes as from_low_modes
from .spectral import low_modes as low_modes
from .spectral import rotated_kernel as rotated_kernel
from .spectral import spectral_convolution as spectral_convolution

__all__ = [
    "Boundary",
    "Pooling",
    "SpectralMethod",
    "average_pixels",
    "convolve_group_images",
    "convolve_images",
    "correlate_images",
    "depthwise_convolution",
    "depthwise_correlation",
    "from_low_modes",
    "low_modes",
    "pixel_offsets",
    "rotated_kernel",
    "spectral_convolution",
    "window_half_width",
]
