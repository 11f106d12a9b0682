"""What can become of a key of VSS's configuration. The tables say which of these each key meets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to know about a configuration.

    Attributes:
        severity: an `error` keeps the service from starting, a `warning` comes with a proposal, a
            `note` is what is read and does nothing.
        key: dotted name in the configuration, or name of the environment variable.
    """

    severity: Literal["error", "warning", "note"]
    key: str
    text: str


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("is no URL; it starts with http:// or https://")
    return text.rstrip("/")


def _split(value: object) -> object:
    return [item.strip() for item in value.split(",")] if isinstance(value, str) else value


_Text = Annotated[str, Field(coerce_numbers_to_str=True)]


class Kind(Enum):
    """What a value must be. Texts that name the same are taken too, as variables are texts."""

    TEXT = TypeAdapter[Any](_Text)
    URL = TypeAdapter[Any](Annotated[str, AfterValidator(_url)])
    NUMBER = TypeAdapter[Any](float)
    WHOLE = TypeAdapter[Any](int)
    FLAG = TypeAdapter[Any](bool)
    NAMES = TypeAdapter[Any](Annotated[tuple[_Text, ...], BeforeValidator(_split)])
    MAPPING = TypeAdapter[Any](dict[Any, Any])

    def read(self, value: object) -> Any:
        """Return the value as it is meant.

        Raises:
            ValueError: it is of another kind; says which.
        """
        try:
            return self.value.validate_python(value)
        except ValidationError as error:
            issue = error.errors(include_url=False)[0]["msg"]
            raise ValueError(f"{value!r}: {issue}") from None


class Null(Enum):
    """What a key means that is there without a value."""

    ABSENT = "the same as no key"
    VALUE = "a value of its own: none"
    REFUSED = "a mistake"


@dataclass(frozen=True, slots=True)
class Sets:
    """The value becomes a setting.

    Attributes:
        setting: dotted name in the sidecar's settings.
        factor: to multiply a number with, such as 0.001 from milliseconds.
        absent: VSS's default, where the sidecar's own means something else; None keeps ours.
        null: what the key means without a value.
    """

    setting: str
    kind: Kind = Kind.TEXT
    factor: float | None = None
    absent: object = None
    null: Null = Null.ABSENT


@dataclass(frozen=True, slots=True)
class Shapes:
    """The value decides, together with others, about settings.

    Attributes:
        what: which, for the reader of the table; the function of this name does it.
    """

    what: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Unused:
    """The value does nothing here.

    Attributes:
        because: ends the sentence «not used, because ...».
        missed_at: the value that asks for something that is missing then; None: none does.
        whole: the rule holds for everything below the key.
    """

    because: str
    missed_at: object = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The service does not start with a value here.

    Attributes:
        because: what is wrong and what to write instead.
        whole: the rule holds for everything below the key.
    """

    because: str
    whole: bool = False


Rule = Sets | Shapes | Unused | Refused


@dataclass(frozen=True, slots=True)
class Values:
    """The values of keys that mean something here, of the kinds that the table names."""

    by_key: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Tell whether the configuration has a value for the key."""
        return key in self.by_key

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        return str(self.by_key.get(key, default))

    def number(self, key: str, default: float) -> float:
        """Return a number."""
        return float(self.by_key.get(key, default))

    def whole(self, key: str, default: int) -> int:
        """Return a whole number."""
        return int(self.by_key.get(key, default))

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a switch."""
        return bool(self.by_key.get(key, default))

    def first_text(self, keys: Sequence[str], default: str = "") -> str:
        """Return the text of the first key that has one."""
        return next((text for key in keys if (text := self.text(key))), default)


@dataclass(slots=True)
class Draft:
    """Settings and remarks while a configuration is read.

    Attributes:
        settings: sections of the sidecar's settings, nested.
        origins: where each came from: a key of VSS's configuration, by the setting's dotted name.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    def put(self, setting: str, value: object, origin: str) -> None:
        """Set one setting by its dotted name."""
        *path, leaf = setting.split(".")
        section = self.settings
        for part in path:
            section = section.setdefault(part, {})
        section[leaf] = value
        self.origins[setting] = origin

    def refuse(self, key: str, text: str) -> None:
        """Keep the service from starting."""
        self.remarks.append(Remark("error", key, text))

    def warn(self, key: str, text: str) -> None:
        """Propose something better."""
        self.remarks.append(Remark("warning", key, text))

    def note(self, key: str, text: str) -> None:
        """Tell what does nothing, or means something slightly different."""
        self.remarks.append(Remark("note", key, text))
