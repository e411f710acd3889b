"""How far a prediction is from the truth: surfaces, normals, occupancy, pictures. Needs numba, scipy and torch."""
