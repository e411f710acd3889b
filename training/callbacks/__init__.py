"""What the trainer does beside its steps: records, checkpoints, stops."""
