"""Stands in for the script that VSS mounts: fills ${VARIABLES}, then becomes the command behind --.

usage: env-substitute.py --source FILE --output FILE [--optional-source FILE --optional-output FILE]
       -- COMMAND...
"""

import argparse
import os
import re
import sys
from pathlib import Path


def main() -> None:
    """Write the rendered files and start the service in this process's place."""
    at = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    for option in ("--source", "--output", "--optional-source", "--optional-output"):
        parser.add_argument(option, type=Path)
    options = parser.parse_args(sys.argv[1:at])
    render(options.source, options.output)
    if options.optional_source and options.optional_source.is_file():
        render(options.optional_source, options.optional_output)
    command = sys.argv[at + 1 :]
    os.execvp(command[0], command)


def render(source: Path, target: Path) -> None:
    """Fill in the variables that are set; others stay as they are."""
    text = source.read_text("utf-8")
    filled = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], found[0]), text)
    target.write_text(filled, "utf-8")


if __name__ == "__main__":
    main()
