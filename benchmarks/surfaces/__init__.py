"""Meshes, peers, references and bars of the benchmark of signed distances."""
