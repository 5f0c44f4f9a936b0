"""Checks that any registered component must pass, a stranger's like ours."""

from pancyte.testing.components import (
    check_backbone,
    check_objective,
    check_prior,
    check_tokenizer,
)
from pancyte.testing.evidence import check_metric, check_task

__all__ = [
    "check_backbone",
    "check_metric",
    "check_objective",
    "check_prior",
    "check_task",
    "check_tokenizer",
]
