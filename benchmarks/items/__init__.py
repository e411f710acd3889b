"""A training item, on the fly and from shards."""
