"""Under which circumstances a table was made: machine, date, commit, versions."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def stamp(command: str, *packages: str) -> list[str]:
    """Return the lines above a table, as a Markdown list."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"- made by `{command}`, {datetime.date.today()}, commit {commit()}",
        f"- machine: {processor()}, {os.cpu_count()} cores; python {platform.python_version()}"
        + (f", {versions}" if versions else ""),
    ]


def commit() -> str:
    """Return the commit of this checkout, marked if files other than results differ from it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results")
    return git("describe", "--always") + ("-dirty" if changed else "")


def processor() -> str:
    """Return the processor's name, as the system says it, with the family and model it is of."""
    told = Path("/proc/cpuinfo")
    first, _, _ = (told.read_text(encoding="utf-8") if told.exists() else "").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    if "model name" not in found:
        return platform.processor() or platform.machine()
    # clouds hide the name: an "AMD EPYC" of family 23 has half the speed of one of family 25
    kind = ", ".join(f"{name} {found[name]}" for name in ("cpu family", "model") if name in found)
    return f"{found['model name']} ({kind})" if kind else found["model name"]
