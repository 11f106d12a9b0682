"""What operators see and do beside the verdicts: which parts fulfil it."""

from sidecar.core.comparing import Comparing
from sidecar.core.provenance import Provenances
from sidecar.core.service import Service
from sidecar.doors.operators import Operators


def build_operators(service: Service, comparing: Comparing) -> Operators:
    """Make what the routes for operators ask."""
    return Operators(
        provenances=Provenances(service.ledger, comparing.store, service.prompts),
    )
