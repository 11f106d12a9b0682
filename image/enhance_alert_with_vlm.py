"""What VSS's compose file starts; the same as `python -m sidecar.vss.entry`."""

from sidecar.vss.entry import main

if __name__ == "__main__":
    main()
