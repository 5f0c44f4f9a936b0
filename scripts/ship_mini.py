"""Put a trained ``pancyte-mini`` into the package, with its licence, limits and test results.

Usage: ``python scripts/ship_mini.py MODEL RESULTS``, with the folder that ``pancyte pretrain
recipes/pancyte-mini.yaml -o MODEL`` wrote, and the one where ``python benchmarks/mini.py --model
MODEL --work RESULTS`` keeps its results. Weights and vocabulary stay as they are, byte for byte.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pancyte as pan
from pancyte.benchmark.results import Results
from pancyte.models.load import SHIPPED

LIMITS = [
    "It knows 6,000 human genes; mouse data have to be given as orthologs (pan.pp.to_species).",
    "Data sets of one laboratory are told apart better by components fitted on themselves.",
    "It has seen some 18,000 cells, most of them of pancreas, blood, lung and mouse bone marrow.",
]


def main() -> None:
    """Write the card anew, and everything else as it is."""
    model = pan.load(sys.argv[1])
    metrics = [
        {**verdict, "seen": False}
        for path in sorted(Path(sys.argv[2]).glob("*.json"))
        for verdict in Results.from_json(path).verdicts
        if verdict["headline"] and verdict["method"] == model.name
    ]
    species = [kind for kind in model.card.species if kind != "mixed"]
    about = {"licence": "BSD-3-Clause", "limits": LIMITS, "metrics": metrics}
    model.card = replace(model.card, species=species, **about)
    model.save_pretrained(SHIPPED / model.name)


if __name__ == "__main__":
    main()
