"""Zarr folders as they are stored: trees of groups and arrays, and the values in their chunks."""
