"""Verbs of the `tessera` command, one module each with `main(arguments) -> exit status`."""
