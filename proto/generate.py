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
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


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
    sources = sorted(SOURCES.rglob("*.proto"))
    services = [path for path in sources if "\nservice " in path.read_text("utf-8")]
    run_protoc(sources, f"--python_out={folder}", f"--pyi_out={folder}")
    run_protoc(services, f"--grpc_python_out={folder}", f"--mypy_grpc_out=quiet:{folder}")


def run_protoc(sources: list[Path], *outputs: str) -> None:
    """Run protoc with the plug-ins that are installed beside this Python; ends when it fails."""
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    folders = [f"-I{SOURCES}", f"-I{files('grpc_tools') / '_proto'}"]
    names = [str(path.relative_to(SOURCES)) for path in sources]
    options = [f"--plugin=protoc-gen-mypy_grpc={plugin}", *folders, *outputs]
    status = protoc.main(["protoc", *options, *names])
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
