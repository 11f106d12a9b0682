"""What docs/review.md tells people to type works as written."""

import json
import shutil
from pathlib import Path

from review_samples import reviewing
from snippets import blocks, here, run_shell


async def test_the_curl_line_gets_a_review(clips: Path, tmp_path: Path) -> None:
    """An answer of 2.4's shape about the clip in the media folder."""
    shutil.copy(clips / "short.mp4", tmp_path / "warehouse.mp4")
    [line] = blocks("docs/review.md", "sh")
    async with reviewing(tmp_path, "Yes, two boxes.") as (service, _):
        code = here(line, {"http://127.0.0.1:9080": service.url})
        answer = json.loads(await run_shell(code, tmp_path))

    assert "REVIEWED" == answer["alert"]["status"]
    assert answer["result"]["verification_result"]
