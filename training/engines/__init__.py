"""Engines: each folder here is one, found by being there."""
