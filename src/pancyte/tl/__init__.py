"""Tools: represent, annotate, integrate, map cells; results go into the AnnData, and how made."""

from pancyte.tl.annotation import annotate, require_labels
from pancyte.tl.embedding import embed
from pancyte.tl.integration import integrate
from pancyte.tl.mapping import build_index, map  # noqa: A004 -- the verb
from pancyte.tl.provenance import history

__all__ = ["annotate", "build_index", "embed", "history", "integrate", "map", "require_labels"]
