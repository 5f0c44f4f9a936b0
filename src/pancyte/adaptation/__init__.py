"""Ways to put a frozen representation to use."""
