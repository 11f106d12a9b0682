"""`sidecar keys`: makes API keys."""

from typing import Annotated

import orjson
import typer
from rich.console import Console

keys = typer.Typer(help="API keys.", no_args_is_help=True)
_output = Console(soft_wrap=True, highlight=False, markup=False)


@keys.callback()
def _group() -> None:
    """API keys."""


@keys.command("new")
def new_key(
    name: Annotated[str, typer.Option(help="Who gets it; shown in the audit trail.")],
    scopes: Annotated[str, typer.Option(help="Of read, submit, label, admin; by commas.")],
    rate_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute; no limit by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Make an API key: print it once, and the line for the file of keys.

    The key itself is kept nowhere.
    """
    from sidecar.core.api_keys import describe_key, make_key

    key = make_key()
    line = describe_key(key, name, scopes, rate_per_minute)
    if as_json:
        print(orjson.dumps({"key": key, "line": line}).decode())  # noqa: T201 - what was asked for
        return
    _output.print(f"The key, which is not shown again:\n{key}\n")
    _output.print(f"Its line, for the file that SIDECAR_SECURITY__KEYS_FILE names:\n{line}")
