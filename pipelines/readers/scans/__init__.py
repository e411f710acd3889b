"""Scans of people: their folder layouts, meshes with textures, and the body models that were fitted to them."""
