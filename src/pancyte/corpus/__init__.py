"""Real data in: files, named datasets, gene names, checks and splits."""
