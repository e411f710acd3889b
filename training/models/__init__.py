"""Blocks that engines build networks from: picture and volume encoders, features at points, heads of points."""

from .attention import point_gate
from .global_generator import GlobalGenerator
from .grid_conv import GridConv
from .hourglass import StackedHourglass
from .mixer import PointMixer
from .norms import norm_layer
from .pixel_features import sample_at, sample_volume
from .point_mlp import PointMLP
from .positional import SdfEncoding, band_weights
from .triplane import TriplaneFromVolume, sample_triplane
from .triplane_image import TriplaneFromImage
from .volume_encoder import VolumeEncoder

__all__ = [
    "GlobalGenerator",
    "GridConv",
    "PointMLP",
    "PointMixer",
    "SdfEncoding",
    "StackedHourglass",
    "TriplaneFromImage",
    "TriplaneFromVolume",
    "VolumeEncoder",
    "band_weights",
    "norm_layer",
    "point_gate",
    "sample_at",
    "sample_triplane",
    "sample_volume",
]
