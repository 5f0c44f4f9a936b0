"""What a cell would show if it were sequenced without limit, and whether a guess at it is any good."""
