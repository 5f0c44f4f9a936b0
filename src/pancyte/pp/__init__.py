"""Preparation: find out what an AnnData holds, and give its genes the names that are needed."""

from pancyte.pp.inspection import check
from pancyte.pp.names import gene_positions, map_genes, to_species
from pancyte.pp.values import log_normalise

__all__ = ["check", "gene_positions", "log_normalise", "map_genes", "to_species"]
