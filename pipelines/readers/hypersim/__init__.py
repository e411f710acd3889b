"""Hypersim: its folder layout, tables, cameras, exclusions and frames."""
