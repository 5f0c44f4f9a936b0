"""What a cell would show if it were sequenced without limit, and how good such a guess is."""
