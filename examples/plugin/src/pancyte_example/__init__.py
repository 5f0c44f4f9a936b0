"""A tokenizer, a metric and a task for pancyte."""
