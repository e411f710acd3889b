"""Parts of the benchmark of the scene labels."""
