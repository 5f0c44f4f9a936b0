"""What more cells, datasets, parameters or steps would bring, and at what cost."""
