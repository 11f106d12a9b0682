"""Write sidecar/pb from the .proto files beside this program, or check that it is current.

usage: generate.py [--check]
"""

import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

SOURCES = Path(__file__).parent
ROOT = SOURCES.parent
TARGET = Path("sidecar", "pb")
GENERATED = ("*_pb2.py", "*_pb2.pyi")


def main() -> int:
    """Return the exit status: 1 when something was out of date and only a check was asked for."""
    with TemporaryDirectory() as folder:
        compile_sources(Path(folder))
        wanted = read_generated(Path(folder))
    found = read_generated(ROOT)
    outdated = [path for path in wanted | found if wanted.get(path) != found.get(path)]
    if "--check" not in sys.argv:
        write(outdated, wanted)
        return 0
    for path in sorted(outdated):
        print(f"{path}: differs from what the .proto files give; run `make gen`.")
    return 1 if outdated else 0


def compile_sources(folder: Path) -> None:
    """Run protoc over every source; the modules and their stubs land in `folder`."""
    names = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    known_types = files("grpc_tools") / "_proto"
    outputs = [f"--python_out={folder}", f"--pyi_out={folder}"]
    status = protoc.main(["protoc", f"-I{SOURCES}", f"-I{known_types}", *outputs, *names])
    if status:
        sys.exit(status)


def read_generated(root: Path) -> dict[Path, bytes]:
    """Read every generated file below `root`, by its path from there."""
    paths = [path for pattern in GENERATED for path in (root / TARGET).rglob(pattern)]
    return {path.relative_to(root): path.read_bytes() for path in paths}


def write(outdated: list[Path], wanted: dict[Path, bytes]) -> None:
    """Bring files of the project up to date; a file without a source goes."""
    for path in outdated:
        if path in wanted:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_bytes(wanted[path])
        else:
            (ROOT / path).unlink()


if __name__ == "__main__":
    sys.exit(main())
