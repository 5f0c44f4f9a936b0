"""Tools: represent and annotate cells; results go into the AnnData, with how they were made."""

from pancyte.tl.annotation import annotate, require_labels
from pancyte.tl.embedding import embed
from pancyte.tl.provenance import history

__all__ = ["annotate", "embed", "history", "require_labels"]
