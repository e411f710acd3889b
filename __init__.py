"""Tessera: raw 3-D vision data sets to WebDataset shards with precomputed geometry labels."""

__version__ = "0.1.0"
