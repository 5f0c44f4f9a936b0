"""Further places for a training log, each chosen by name in the run file."""
