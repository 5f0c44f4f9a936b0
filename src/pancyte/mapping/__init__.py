"""Placing cells among those of a reference: what represents them, and who is nearest."""
