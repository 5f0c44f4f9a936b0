"""Run every example of a Markdown file, in order, in an empty folder; stop at the first failure.

``console`` blocks: the lines that begin with ``$``. ``python`` blocks share one namespace.
Usage: ``python docs/run_readme.py README.md``
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETUP = ("pip ", "git ", "cd ", "python -m pytest", "python -m venv")


def main(path: Path) -> None:
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    namespace: dict[str, object] = {"__name__": "__readme__"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for language, text in blocks:
            if language == "python":
                print(">>>", text, flush=True)
                exec(compile(text, str(path), "exec"), namespace)
                continue
            for line in text.splitlines():
                command = line.removeprefix("$ ")
                if line.startswith("$ ") and not command.startswith(SETUP):
                    print("$", command, flush=True)
                    subprocess.run(command, shell=True, check=True)


main(Path(sys.argv[1]).resolve())
