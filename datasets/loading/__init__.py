"""How a stream works inside: rows of indexes, what to read of them, decoding into batch buffers, threads."""
