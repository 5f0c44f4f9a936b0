"""From scores to an answer that says how sure it is, or that there is none."""
