"""Engines (a model, its losses and metrics) and the trainer that feeds them from shards."""
