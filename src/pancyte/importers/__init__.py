"""Folders of published models, as their authors wrote them, become pancyte models."""
