"""The lines of a `_bulk` request to Elasticsearch, and what its answer says about each."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from sidecar.errors import DeliveryError, DeliveryRefused
from sidecar.redaction import redact

_REASON_LIMIT: Final = 300
# The cluster has no room for another index; not the document's fault.
_PASSING: Final = frozenset({"validation_exception"})


@dataclass(frozen=True, slots=True)
class BulkItem:
    """A document on its way into an index: the line of the action and its own, with line ends."""

    index: str
    lines: bytes


def bulk_item(index: str, identity: str, version: int, document: bytes) -> BulkItem:
    """Write what stores a document unless one of a later `version` is there."""
    action = {
        "_index": index,
        "_id": identity,
        "version": version,
        "version_type": "external_gte",
    }
    return BulkItem(index, orjson.dumps({"index": action}) + b"\n" + document + b"\n")


def outcome_of(item: BulkItem, result: Any) -> DeliveryError | None:
    """Read the answer about one document: None when it, or a newer one, is stored."""
    answer = result.get("index", {}) if isinstance(result, Mapping) else {}
    status = answer.get("status", 0)
    if status in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT}:
        return None
    error = answer.get("error")
    kind = error.get("type", "") if isinstance(error, Mapping) else ""
    reason = f"{status} {kind} {reason_of(answer)}"
    if status == HTTPStatus.BAD_REQUEST and kind not in _PASSING:
        return DeliveryRefused(
            f"Index {item.index} refused the verdict: {reason}. Correct the mapping of the index, "
            "then replay the dead letter."
        )
    return DeliveryError(f"Index {item.index} could not take the verdict: {reason}.")


def reason_of(answer: Any) -> str:
    """Return what an answer of Elasticsearch says about a failure, shortened."""
    error = answer.get("error") if isinstance(answer, Mapping) else None
    if isinstance(error, Mapping):
        error = error.get("reason") or error.get("type")
    return redact(str(error or "no reason given"))[:_REASON_LIMIT].rstrip(".")
