"""Demo raw data: synthetic captures in the exact raw layout of the data sets they stand for."""
