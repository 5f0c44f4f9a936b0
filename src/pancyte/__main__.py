"""Run the command line as ``python -m pancyte``."""

from pancyte.cli.main import run

run()
