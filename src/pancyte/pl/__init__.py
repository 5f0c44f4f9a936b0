"""Figures: embeddings, annotations, confusions, training curves and benchmarks.

Every function returns matplotlib axes or a figure, draws on ``ax`` where one is given, and
writes a file with ``save="figure.pdf"``. Colours stay apart under colour-vision deficiency.
"""

from pancyte.pl.cells import annotation, embedding
from pancyte.pl.scores import benchmark, confusion, training

__all__ = ["annotation", "benchmark", "confusion", "embedding", "training"]
