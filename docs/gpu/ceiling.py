"""The rates of matrix products that a card really reaches: what a share of arithmetic is worth.

usage: ceiling.py      (prints FLOP/s as JSON; about ten seconds)
"""

import json
import subprocess
import sys
import time
from pathlib import Path

SIZE = 8192
ROUNDS = 30


def measure() -> dict[str, float]:
    """Return FLOP/s in bf16 and in fp8, measured in a process of its own; empty where it fails."""
    got = subprocess.run(
        [sys.executable, str(Path(__file__))], capture_output=True, text=True, check=False
    )
    return json.loads(got.stdout) if got.returncode == 0 else {}


def main() -> None:
    """Print the rates of square products."""
    import torch

    def rate(product: object) -> float:
        assert callable(product)
        for _ in range(5):
            product()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(ROUNDS):
            product()
        torch.cuda.synchronize()
        return 2 * SIZE**3 * ROUNDS / (time.perf_counter() - start)

    a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    found = {"bf16": rate(lambda: a @ b)}
    one = torch.ones((), device="cuda")
    a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
    found["fp8"] = rate(
        lambda: torch._scaled_mm(  # noqa: SLF001 - the only name it has
            a8, b8, scale_a=one, scale_b=one, out_dtype=torch.bfloat16
        )
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
