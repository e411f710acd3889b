"""Raw data to shards: readers, labels, recipes, demo data and the run."""
