"""`python -m tessera`."""

from .cli import main

main()
