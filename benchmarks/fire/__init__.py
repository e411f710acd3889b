"""Runs under fire: ways to kill one, and what it left behind."""
