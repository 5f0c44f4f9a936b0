"""Pre-training: one loop, exact resume."""
