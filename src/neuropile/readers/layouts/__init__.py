"""Readers of one dataset's own layout each, named by its recipe."""
