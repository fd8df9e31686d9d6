"""Strictly between plain data (YAML, JSON) and the dataclasses that describe models and tasks.

A config dataclass has a field `kind`, which names its class in a table of the code; nothing that a
file says is ever imported.
"""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ctm.errors import ConfigError

T = TypeVar("T")


def to_plain(config: Any) -> Any:
    """A config dataclass as dicts, lists, numbers and strings, ready for JSON."""
    match config:
        case Enum():
            return config.value
        case PurePath():
            return str(config)
        case DictConfig() | ListConfig():
            return OmegaConf.to_container(config)
        case list() | tuple():
            return [to_plain(item) for item in config]
        case Mapping():
            return {key: to_plain(value) for key, value in config.items()}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = dataclasses.fields(config)
        return {field.name: to_plain(getattr(config, field.name)) for field in fields}
    return config


def from_plain(kinds: Mapping[str, type[T]], plain: Any, where: str = "config") -> T:
    """Builds the config dataclass that `plain["kind"]` names, nested ones included.

    Args:
        kinds: the classes to choose from. A class variable `parts` (field name to such a table)
            marks the fields that are configs themselves.
        where: what errors call this config.

    Raises:
        ConfigError: no such kind, a key too many, a value of the wrong type or range.
    """
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{where}: want settings by name, got {plain!r:.60}")
    kind = plain.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(f"{where}.kind={kind!s:.60}: choose one of {', '.join(kinds)}")
    cls = kinds[kind]
    parts: Mapping[str, Mapping[str, type]] = getattr(cls, "parts", {})
    values = {key: value for key, value in plain.items() if key not in parts}
    for key, value in values.items():
        if "${" in str(value):  # OmegaConf would look it up, in the environment too
            raise ConfigError(f"{where}.{key}={value!s:.60}: want a value, not a reference")
    nested = {
        name: from_plain(table, plain.get(name), f"{where}.{name}") for name, table in parts.items()
    }
    return to_dataclass(cls, values | nested, where)


def to_dataclass(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """`cls(**values)` with keys and types checked.

    Raises:
        ConfigError: with the field's name, what came, and what was wanted.
    """
    try:
        typed = OmegaConf.merge(OmegaConf.structured(cls), dict(values))
        built = OmegaConf.to_object(typed)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}.{one_line(error)}") from None
    assert isinstance(built, cls)
    return built


def one_line(error: OmegaConfBaseException) -> str:
    """`field: what is wrong`, of an OmegaConf error, which has several lines."""
    what = str(getattr(error, "msg", None) or error).split("\n", 1)[0]
    return f"{getattr(error, 'full_key', None) or ''}: {what}"


def wanted(holds: bool, setting: str, value: Any, want: str) -> None:
    """Refuses a setting unless `holds`: `wanted(ticks > 0, "ticks", ticks, "1 or more")`."""
    if not holds:
        raise ConfigError(f"{setting}={value}: want {want}")
