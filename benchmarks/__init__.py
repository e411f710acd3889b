"""Side-by-side measurements: `tessera bench NAME`."""
