"""Readers: each knows one raw layout, finds its units and loads them."""
