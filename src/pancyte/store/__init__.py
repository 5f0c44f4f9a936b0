"""Many datasets as one corpus on disk, and minibatches from it; see README.md."""
