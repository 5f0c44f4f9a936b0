"""What is known of genes before any training: a vector for each."""
