"""From counts to tokens."""
