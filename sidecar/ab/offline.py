"""Put together what works without a running service: arms to ask, and clips to look at."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from sidecar.ab.recorded import Recorded, of_record
from sidecar.ab.replay import Ask, ReplayArm
from sidecar.app import App, build
from sidecar.core.families import check_family
from sidecar.core.routing import Switchboard
from sidecar.errors import InvalidRequest, ModelMismatch, SettingsError, VlmError
from sidecar.model import VerdictFilter
from sidecar.outside.clock import SystemClock
from sidecar.parts import build_store, seed_prompts, with_inline
from sidecar.policy import Policy
from sidecar.ports import PromptBook
from sidecar.settings import (
    KafkaSettings,
    LedgerSettings,
    RealtimeSettings,
    RpcSettings,
    Settings,
    SinkSettings,
    StreamsSettings,
)

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Offline:
    """A service that accepts and publishes nothing."""

    app: App
    prompts: PromptBook

    async def arms(
        self, names: Sequence[str], in_flight: int, rate: float
    ) -> tuple[ReplayArm, ...]:
        """Return arms to ask.

        Raises:
            SettingsError: there is no such arm, its server is away, or serves another family.
        """
        return tuple([ReplayArm(it, await self._ask(it), in_flight, rate) for it in names])

    async def _ask(self, name: str) -> Ask:
        verifier = self.app.verifier
        routing = verifier.switchboard.current
        arm = routing.arms.get(name)
        if arm is None:
            known = ", ".join(sorted(routing.arms))
            raise SettingsError(f"There is no arm {name!r}; known: {known}.")
        try:
            problem = await arm.backend.ping()
            if problem:
                raise SettingsError(f"Arm {name} cannot be asked: {problem}")
            model = await arm.backend.model()
            check_family(model, name, arm.adapter.profile, routing.families)
        except (VlmError, ModelMismatch) as error:
            raise SettingsError(f"Arm {name} cannot be asked: {error.detail}") from error
        alone = Switchboard(replace(routing, policy=Policy.only(name)))
        return partial(replace(verifier, switchboard=alone, prompts=self.prompts).verify)


@asynccontextmanager
async def offline(settings: Settings, alert_types: Path | None) -> AsyncGenerator[Offline]:
    """Give a service without doors and sinks, with a ledger that is thrown away.

    Args:
        settings: of the arms and of media.
        alert_types: an `alert_type_config.json` to take prompts from; None takes those in force:
            of the ledger if there is one, else of the settings.
    """
    with tempfile.TemporaryDirectory(prefix="sidecar-replay-") as folder:
        app = build(_apart(settings, Path(folder), alert_types))
        try:
            await seed_prompts(app.prompts, app.settings)
            app.plugins.check(await app.prompts.list())
            if alert_types is None and _has_ledger(settings.ledger):
                store = build_store(settings.ledger, SystemClock(), exclusive=False)
                try:
                    yield Offline(app, store.prompts)
                finally:
                    for part in store.owned:
                        await part.close()
            else:
                yield Offline(app, app.prompts)
        finally:
            await app.close()


async def ledger_events(
    settings: LedgerSettings, wanted: VerdictFilter, limit: int
) -> AsyncIterator[Recorded]:
    """Yield the events of the ledger that have a verdict, oldest first.

    On-demand requests that are no events of the pipeline are left out.

    Args:
        settings: where the ledger is.
        wanted: which events.
        limit: how many at most; 0 takes all.
    """
    store = build_store(settings, SystemClock(), exclusive=False)
    try:
        after, found = 0, 0
        while page := await store.ledger.since(wanted, after=after, limit=_PAGE):
            after = page[-1].seq
            for record in page:
                try:
                    recorded = of_record(record)
                except InvalidRequest:
                    continue
                yield recorded
                found += 1
                if found == limit:
                    return
    finally:
        for part in store.owned:
            await part.close()


def _apart(settings: Settings, folder: Path, alert_types: Path | None) -> Settings:
    prompts = settings.prompts
    if alert_types is not None:
        prompts = prompts.model_copy(update={"alert_type_config": alert_types})
    return settings.model_copy(
        update={
            "ledger": LedgerSettings(path=folder / "ledger.db"),
            "prompts": prompts,
            "media": with_inline(settings),
            "sinks": SinkSettings(),
            "kafka": KafkaSettings(),
            "streams": StreamsSettings(),
            "grpc": RpcSettings(),
            "realtime": RealtimeSettings(),
        }
    )


def _has_ledger(settings: LedgerSettings) -> bool:
    return bool(settings.redis.url.get_secret_value()) or settings.path.is_file()
