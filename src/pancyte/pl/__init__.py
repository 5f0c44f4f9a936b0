"""Figures: embeddings, annotations, integrations, confusions, training curves, benchmarks.

Every function returns matplotlib axes or a figure, draws on ``ax`` where one is given, and
writes a file with ``save="figure.pdf"``. Colours stay apart under colour-vision deficiency.
"""

from pancyte.pl.cells import annotation, embedding
from pancyte.pl.few_shot import few_shot, shots
from pancyte.pl.integration import integration
from pancyte.pl.rare import rare
from pancyte.pl.scores import benchmark, confusion, training
from pancyte.pl.stress import severities, stress
from pancyte.pl.trust import confidence, confusion_sets, coverage, reliability

__all__ = [
    "annotation",
    "benchmark",
    "confidence",
    "confusion",
    "confusion_sets",
    "coverage",
    "embedding",
    "few_shot",
    "integration",
    "rare",
    "reliability",
    "severities",
    "shots",
    "stress",
    "training",
]
