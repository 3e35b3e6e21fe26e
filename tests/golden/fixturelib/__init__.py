"""Generators of the golden fixtures; see ../make_fixtures.py and ../README.md."""
