"""Scores: pure functions of arrays, each with its range and its source."""
