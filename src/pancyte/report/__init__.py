"""One self-contained HTML page with the answer, its evidence and how it was made."""

from pancyte.report.page import render, write_report
from pancyte.report.parts import (
    Calibration,
    Colouring,
    Comparison,
    Confusion,
    Picture,
    Provenance,
    Report,
    Scatter,
    Training,
)

__all__ = [
    "Calibration",
    "Colouring",
    "Comparison",
    "Confusion",
    "Picture",
    "Provenance",
    "Report",
    "Scatter",
    "Training",
    "render",
    "write_report",
]
