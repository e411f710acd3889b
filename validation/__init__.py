"""Audits over shards, reports, and the metrics that engines and reports share."""
