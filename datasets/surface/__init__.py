"""Exact questions to triangle meshes: closest point, signed distance, winding number. Needs numba."""
