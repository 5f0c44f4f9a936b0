"""Tools: represent, label, integrate, map, clean cells; results go into the AnnData, and how."""

from pancyte.tl.annotation import annotate, require_labels
from pancyte.tl.denoising import denoise
from pancyte.tl.embedding import embed
from pancyte.tl.integration import integrate
from pancyte.tl.mapping import build_index, map  # noqa: A004 -- the verb
from pancyte.tl.provenance import history
from pancyte.tl.rare import rare

__all__ = [
    "annotate",
    "build_index",
    "denoise",
    "embed",
    "history",
    "integrate",
    "map",
    "rare",
    "require_labels",
]
