"""Speeds and sizes beside other tools, measured in one process on the same data: `python -m benchmarks`."""
