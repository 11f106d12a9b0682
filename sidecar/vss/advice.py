"""Values that VSS ships or defaults to and that harm: a warning with a proposal for each."""

from collections.abc import Iterator
from typing import Final

from sidecar.vss.rules import Remark, Values
from sidecar.vss.service import AGENT, workers_of

TOKENS_PER_S: Final = 100.0
"""What an 8B model writes on a data centre's GPU, about; an edge GPU makes less."""
_CLEAR_PIXELS: Final = 131_072
"""Less in a frame (512 x 256) and people are a few pixels high."""


def find_dangers(values: Values) -> Iterator[Remark]:
    """Yield a warning for each value that is taken as it is and should not be."""
    yield from _short_timeout(values)
    yield from _many_calls(values)
    yield from _small_frames(values)
    yield from _own_frames(values)
    yield from _chance(values)
    yield from _skipped_events(values)
    yield from _open_doors(values)
    yield from _missing_verdicts(values)


def _short_timeout(values: Values) -> Iterator[Remark]:
    key = "vlm.request_timeout"
    tokens = values.whole("vlm.max_tokens", 0)
    needed_s = tokens / TOKENS_PER_S
    if values.has(key) and values.number(key, 0.0) < needed_s:
        yield _warning(
            key,
            f"{values.number(key, 0.0):g} s end an answer of {tokens} tokens early: at "
            f"{TOKENS_PER_S:g} tokens a second it takes {needed_s:.0f} s. Write "
            f"{max(60.0, needed_s):.0f}, or vlm.max_tokens: 512.",
        )


def _many_calls(values: Values) -> Iterator[Remark]:
    at_once, key = workers_of(values)
    wanted = f"{AGENT}.async_io.max_vlm_concurrent"
    if key != wanted:
        yield _warning(
            wanted,
            f"is missing, so that {at_once} requests reach the model at once, by {key}. Write how "
            "many its server answers in time; 4 is what VSS's developer profile has.",
        )


def _small_frames(values: Values) -> Iterator[Remark]:
    if values.flag("vlm.use_vlm_media_defaults") or not values.flag("vlm.do_resize", default=True):
        return
    frames, pixels = values.whole("vlm.num_frames", 0), values.whole("vlm.max_pixels", 0)
    if values.flag("vlm.enable_sampling") or not frames or not pixels:
        return
    if pixels / frames < _CLEAR_PIXELS:
        yield _warning(
            "vlm.max_pixels",
            f"{pixels} pixels are for all {frames} frames together, {pixels // frames} for each. "
            f"Write {_CLEAR_PIXELS * frames} or more.",
        )


def _own_frames(values: Values) -> Iterator[Remark]:
    if not values.flag("vlm.vlm_media_source_using_base64"):
        yield _warning(
            "vlm.vlm_media_source_using_base64",
            "is false: the model's server fetches the clip by its URL and chooses frames and size, "
            "and nobody can tell whether it saw the clip. Write true.",
        )


def _chance(values: Values) -> Iterator[Remark]:
    if values.number("vlm.temperature", 0.0) > 0:
        yield _warning(
            "vlm.temperature",
            f"{values.number('vlm.temperature', 0.0):g} lets the same clip be confirmed once and "
            "rejected once. Write 0.",
        )


def _skipped_events(values: Values) -> Iterator[Remark]:
    for key, start in (
        ("kafka.auto_offset_reset", "latest"),
        ("event_bridge.redis_source.consumer_config.start_id", "$"),
    ):
        if values.text(key) == start:
            other = "earliest" if start == "latest" else "0-0"
            yield _warning(
                key,
                f"{start} skips what was published before the first start of the group. Write "
                f"{other} to take it up. Later starts skip nothing either way.",
            )


def _open_doors(values: Values) -> Iterator[Remark]:
    if values.flag(f"{AGENT}.media_download.allow_private_urls"):
        yield _warning(
            f"{AGENT}.media_download.allow_private_urls",
            "is true: whoever can send an event makes the service fetch from any private network. "
            "Write false, and name the networks in SIDECAR_MEDIA__ALLOWED_NETWORKS.",
        )
    is_https = any(host.startswith("https:") for host in values.by_key.get("elastic.hosts", ()))
    if is_https and not values.flag("elastic.verify_certs", default=True):
        yield _warning(
            "elastic.verify_certs",
            "is false: anyone on the way can read and change verdicts. Write true, and the "
            "authority's file to elastic.ca_certs.",
        )


def _missing_verdicts(values: Values) -> Iterator[Remark]:
    at = f"{AGENT}.media_download"
    if values.flag(f"{at}.enabled") and not values.flag(f"{at}.use_verdict"):
        yield _warning(
            f"{at}.use_verdict",
            "is false: answers about info.media_urls are free text without a verdict. Write true.",
        )


def _warning(key: str, text: str) -> Remark:
    return Remark("warning", key, text)
