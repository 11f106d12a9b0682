"""The settings in force when VSS's configuration is one of their sources.

It ranks above the defaults and below the user's own YAML file and SIDECAR_* variables.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from sidecar import settings as plain
from sidecar.core.plugins import load_object
from sidecar.errors import SettingsError
from sidecar.model import ModelProfile
from sidecar.settings import DEFAULT_ADAPTERS, VSS_CONFIG_VARIABLE, Setting, Settings
from sidecar.vss.config import VssConfig, read_vss_config

ORIGIN: Final = "vss"


def find_vss_config() -> VssConfig | None:
    """Read the configuration that SIDECAR_VSS_CONFIG names; None when it names none.

    Raises:
        SettingsError: it cannot be read.
    """
    name = os.environ.get(VSS_CONFIG_VARIABLE)
    return read_vss_config(Path(name), os.environ, families()) if name else None


def load_settings(**overrides: Any) -> Settings:
    """Read the settings as `sidecar.settings.load_settings` does, VSS's configuration included.

    Raises:
        SettingsError: names each wrong key, by VSS's name where it comes from there.
    """
    config = find_vss_config()
    if config is None:
        return plain.load_settings(**overrides)
    refused = [f"{it.key}: {it.text}" for it in config.remarks if it.severity == "error"]
    if refused:
        unset = f" Not set: {', '.join(config.unset)}." if config.unset else ""
        raise SettingsError(f"{config.path}: {' '.join(refused)}{unset}")
    try:
        return plain.load_settings(config.settings, **overrides)
    except SettingsError as error:
        raise SettingsError(_by_vss_names(error.detail, config)) from None


def describe_settings(settings: Settings) -> Sequence[Setting]:
    """List every leaf with its value and origin, which is `vss` for VSS's configuration."""
    config = find_vss_config()
    return plain.describe_settings(settings, {ORIGIN: config.settings} if config else {})


def log_remarks() -> None:
    """Write to the log what becomes of VSS's configuration, when there is one."""
    config = find_vss_config()
    if config is None:
        return
    log = structlog.get_logger()
    for remark in config.remarks:
        if remark.severity == "warning":
            log.warning("vss_config", key=remark.key, detail=remark.text)
    unused = [remark.key for remark in config.remarks if remark.severity == "note"]
    log.info("vss_config_notes", path=str(config.path), keys=unused, explained_by="sidecar check")


def families() -> Mapping[str, ModelProfile]:
    """Return the profiles of the adapters that come with the sidecar, by their names."""
    return {
        name: load_object(adapter, f"adapters.{name}").profile
        for name, adapter in DEFAULT_ADAPTERS.items()
    }


def _by_vss_names(detail: str, config: VssConfig) -> str:
    for setting, key in config.origins.items():
        detail = detail.replace(
            f"{setting} (SIDECAR_", f"{key} in {config.path} ({setting}, SIDECAR_"
        )
    return detail
