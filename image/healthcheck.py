"""Ends with status 0 when the service answers that it lives, wherever it was told to listen."""

import os
import sys
from urllib.request import urlopen

VARIABLES = ("SIDECAR_HTTP__PORT", "FASTAPI_PORT", "ALERT_BRIDGE_PORT")


def main() -> int:
    """Ask `/health`; what it asks of others is in `/ready`, which must not end a container."""
    port = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "9080")
    try:
        urlopen(f"http://127.0.0.1:{port}/health", timeout=3).close()
    except OSError as error:  # also an answer above 299
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
