"""Training steps, fed in several ways."""
