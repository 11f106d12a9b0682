"""Whether a server serves a model of the family that an arm is made for. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from sidecar.errors import ModelMismatch
from sidecar.model import ModelProfile
from sidecar.settings import variable_of

_SEPARATORS: Final = re.compile(r"[-_. ]+")
_SHOWN_CHARS: Final = 100  # of an id in an error text


def belongs(model: str, profile: ModelProfile) -> bool:
    """Tell whether a model id names a member of the family.

    Ids are file names, paths, registry names and aliases of one model, so case, `-`, `_`, `.` and
    spaces do not count.
    """
    plain = _plain(model)
    return any(_plain(fragment) in plain for fragment in profile.match)


def check_family(
    model: str, arm: str, profile: ModelProfile, families: Mapping[str, ModelProfile]
) -> None:
    """Make sure that an arm is not asked in the wrong way and published under the wrong name.

    Args:
        model: the id that the arm's server tells, or that the settings name.
        arm: its name.
        profile: of the arm's adapter.
        families: the profiles that the arm could have, by the names of their adapters.

    Raises:
        ModelMismatch: the model is of another family; names the adapters that accept it.
    """
    if belongs(model, profile):
        return
    variable = variable_of(f"arms.{arm}.adapter")
    fitting = " or ".join(name for name, family in families.items() if belongs(model, family))
    raise ModelMismatch(
        f"The server of arm {arm} serves {model[:_SHOWN_CHARS]!r}, which is not a {profile.name} "
        f"model. Set {variable} to {fitting}, or serve the model under an id that names its family."
    )


def _plain(text: str) -> str:
    return _SEPARATORS.sub("", text.casefold())
