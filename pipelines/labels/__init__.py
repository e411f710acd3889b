"""Labels: pure functions on arrays, no I/O, no Ray; one label a file."""
