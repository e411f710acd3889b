"""How tars of other writers are scanned, and what their indexes are made of."""
