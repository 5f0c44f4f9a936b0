"""Tools: represent, annotate and integrate cells; results go into the AnnData, with how they were made."""

from pancyte.tl.annotation import annotate, require_labels
from pancyte.tl.embedding import embed
from pancyte.tl.integration import integrate
from pancyte.tl.provenance import history

__all__ = ["annotate", "embed", "history", "integrate", "require_labels"]
