"""What to prepare of a clip, so that a given server shows the model all of it. Pure."""

from dataclasses import replace

from sidecar.dialect import FrameControl, ServerDialect
from sidecar.model import EvidenceForm, MediaType, SamplePlan


def fit_plan(plan: SamplePlan, dialect: ServerDialect | None, media: MediaType) -> SamplePlan:
    """Change a plan as far as the server makes it necessary.

    Args:
        plan: what the arm wants to show.
        dialect: what the server accepts; None changes nothing.
        media: what the event names; images are sent as pictures whatever the form.

    Returns:
        The plan with another form where the server does not take the one asked for, with
        `max_images` where pictures are sent, and with `written_fps` where the server thins clips
        and no request can keep it from that. The form `url` stays as it is.
    """
    if dialect is None or plan.form is EvidenceForm.URL:
        return plan
    if media is MediaType.IMAGE:
        return _limit_images(plan, dialect)
    plan = replace(plan, form=_choose_form(plan, dialect))
    if plan.form is EvidenceForm.FRAMES:
        return _limit_images(plan, dialect)
    if dialect.frames is FrameControl.NONE and 0.0 < (dialect.loader_fps or 0.0) < plan.fps:
        return replace(plan, written_fps=dialect.loader_fps)
    return plan


def _choose_form(plan: SamplePlan, dialect: ServerDialect) -> EvidenceForm:
    shows_one = dialect.frames is FrameControl.NONE and dialect.loader_fps == 0.0
    if not dialect.takes_video or (shows_one and dialect.max_images > 1):
        return EvidenceForm.FRAMES
    if plan.form is EvidenceForm.FRAMES and dialect.max_images < plan.max_frames:
        return EvidenceForm.VIDEO
    return plan.form


def _limit_images(plan: SamplePlan, dialect: ServerDialect) -> SamplePlan:
    """Keep to what the server takes; at least one picture, so that a refusal is the server's."""
    limit = max(dialect.max_images, 1)
    if plan.max_images is not None:
        limit = min(limit, plan.max_images)
    return replace(plan, max_images=limit)
