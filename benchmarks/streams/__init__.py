"""Parts of the benchmarks of the stream."""
