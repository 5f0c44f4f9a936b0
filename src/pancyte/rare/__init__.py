"""Small groups of cells that are unlike all others, and how sure that is."""
