"""The service as VSS's compose file starts it: `enhance_alert_with_vlm.py --config PATH`."""

import argparse
import os
from pathlib import Path

from sidecar.__main__ import main as run
from sidecar.settings import VSS_CONFIG_VARIABLE

DEFAULT_CONFIG = "config.yaml"


def main() -> None:
    """Serve with VSS's configuration; without `--config` it is the one that CONFIG_PATH names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get("CONFIG_PATH") or DEFAULT_CONFIG),
        help="VSS's config.yml.",
    )
    os.environ[VSS_CONFIG_VARIABLE] = str(parser.parse_args().config)
    run(["serve"])


if __name__ == "__main__":
    main()
