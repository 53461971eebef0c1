from .convolution import convolve_images as convolve_images
from .convolution import correlate_images as correlate_images
from .depthwise import correlate as correlate
from .depthwise import sum_shifts as sum_shifts
from .group_convolution import average_pixels as average_pixels
from .group_convolution import beyond_edges as beyond_edges
from .group_convolution import convolve as convolve
from .group_convolution import convolve_averaged as convolve_averaged
from .group_convolution import convolve_channels as convolve_channels
from .group_convolution import mix_samples as mix_samples
from .group_convolution import mix_samples_of_channels as mix_samples_of_channels
from .group_convolution import moved_window as moved_window
from .group_convolution import pool as pool
from .group_convolution import relative_elements as relative_elements
from .group_convolution import window as window
from .spectral import spectral_convolution as spectral_convolution

__all__ = [
    "average_pixels",
    "beyond_edges",
    "convolve",
    "convolve_averaged",
    "convolve_channels",
    "convolve_images",
    "correlate",
    "correlate_images",
    "mix_samples",
    "mix_samples_of_channels",
    "moved_window",
    "pool",
    "relative_elements",
    "spectral_convolution",
    "sum_shifts",
    "window",
]
