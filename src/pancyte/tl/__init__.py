"""Tools: embed, annotate, rare, denoise; results go into the AnnData, with how they were made."""

from pancyte.tl.annotation import annotate, require_labels
from pancyte.tl.denoising import denoise
from pancyte.tl.embedding import embed
from pancyte.tl.provenance import history
from pancyte.tl.rare import rare

__all__ = ["annotate", "denoise", "embed", "history", "rare", "require_labels"]
