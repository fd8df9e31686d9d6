"""From the command line to a checked description of an experiment: the door where Hydra ends."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ctm.app.folder import SETTINGS, read_settings
from ctm.config import from_plain, one_line, to_dataclass, to_plain
from ctm.errors import ConfigError, UserError, listed
from ctm.models.config import ENCODERS, MODELS, ModelConfig, check_kind
from ctm.tasks import TASKS, Task
from ctm.training.settings import TrainerConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


# the names at the top of configs/config.yaml
ROOT = ("name", "seed", "run_dir", "describe", "model", "task", "loss", "optimizer", "schedule",
        "trainer", "tracker")  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a run, checked."""

    name: str
    seed: int
    run_dir: Path
    describe: bool
    model: ModelConfig
    task: Task
    trainer: TrainerConfig
    loss: DictConfig
    optimizer: DictConfig
    schedule: DictConfig
    tracker: DictConfig
    plain: dict[str, Any]  # the whole of it, as it is printed and saved

    def altered(self, **changes: Any) -> "Experiment":
        """The same with other settings of the same or of another model."""
        plain = {**self.plain, **{name: to_plain(value) for name, value in changes.items()}}
        return replace(self, **changes, plain=plain)


def register_schemas() -> None:
    """Tells Hydra the dataclasses, so that it refuses wrong names and types on the command line."""
    store = ConfigStore.instance()
    schemas = (
        ("model", MODELS),
        ("model/encoder", ENCODERS),
        ("task", TASKS),
        ("trainer", {"trainer": TrainerConfig}),
    )
    for group, kinds in schemas:
        for kind, schema in kinds.items():
            store.store(group=group, name=f"{kind}_schema", node=schema)


def compose(overrides: Sequence[str] = ()) -> Experiment:
    """The experiment that a command line describes.

    Raises:
        ConfigError: one line about what is wrong with it.
    """
    return checked(composed(overrides))


def composed(overrides: Sequence[str]) -> DictConfig:
    register_schemas()
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return hydra.compose("config", overrides=list(overrides), return_hydra_config=True)
    except MissingConfigException as error:
        raise _no_such_file(error, overrides) from None
    except HydraException as error:
        raise _bad_override(error, overrides) from None


def checked(config: DictConfig) -> Experiment:
    """Types, ranges and combinations, before any work."""
    choices = (config.get("hydra") or HydraConfig.get()).runtime.choices
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    name = config.name or choices.get("experiment")
    if not name:
        raise ConfigError(f"experiment=?: choose one of {', '.join(experiments())}")
    if any(part.startswith("_") for part in str(name).split("/")):
        raise ConfigError(
            f"experiment={name}: a part of others; choose one of {', '.join(experiments())}"
        )
    if type(config.seed) is not int or not 0 <= config.seed < 2**63:
        raise ConfigError(f"seed={config.seed}: want a whole number from 0 to 2^63 - 1")
    for key in config:
        if key not in ROOT:
            raise ConfigError(
                f"{key}={config[key]}: no such setting; want one of {', '.join(ROOT)}"
            )
    if not isinstance(config.describe, bool):
        raise ConfigError(f"describe={config.describe}: want true or false")
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        typed: dict[str, Any] = {
            group: OmegaConf.to_object(config[group]) for group in ("model", "task", "trainer")
        }
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from None
    for group, settings in typed.items():
        _refuse_additions(group, plain[group], settings)
    check_kind(typed["model"], MODELS, "model")
    check_kind(typed["model"].encoder, ENCODERS, "model/encoder")
    check_kind(typed["task"], TASKS, "task")
    return Experiment(
        name=str(name),
        seed=config.seed,
        run_dir=Path(str(config.run_dir or f"runs/{name}/seed{config.seed}")),
        describe=config.describe,
        **typed,
        loss=config.loss,
        optimizer=config.optimizer,
        schedule=config.schedule,
        tracker=config.tracker,
        plain={**plain, "name": str(name)},
    )


def reopened(folder: Path) -> Experiment:
    """The experiment of a run folder, from the settings that are saved there.

    Raises:
        UserError: there are none, or they are not an experiment's.
    """
    plain = read_settings(folder)
    missing = [name for name in ROOT if name not in plain]
    if missing:
        raise UserError(f"{folder / SETTINGS}: has no {listed(missing)}; not the settings of a run")
    plain["run_dir"] = str(folder)
    return Experiment(
        name=str(plain["name"]),
        seed=int(plain["seed"]),
        run_dir=folder,
        describe=False,
        model=from_plain(MODELS, plain["model"], "model"),
        task=from_plain(TASKS, plain["task"], "task"),
        trainer=to_dataclass(TrainerConfig, plain["trainer"], "trainer"),
        plain=plain,
        **{name: DictConfig(plain[name]) for name in ("loss", "optimizer", "schedule", "tracker")},
    )


def _refuse_additions(where: str, plain: dict[str, Any], typed: Any) -> None:
    """Hydra lets `+model.name=value` add what the dataclass doesn't have; nothing would read it."""
    known = [field.name for field in fields(typed)]
    for name, value in plain.items():
        if name not in known:
            raise ConfigError(
                f"{where}.{name}={value}: no such setting; {where} has {listed(known, 30)}"
            )
        if is_dataclass(getattr(typed, name)):
            _refuse_additions(f"{where}.{name}", value, getattr(typed, name))


def instantiate(config: DictConfig, where: str, /, **more: Any) -> Any:
    """The object that a `_target_` names: the only place where names from YAML become objects.

    Raises:
        ConfigError: the settings under `where` aren't what it takes.
    """
    try:
        factory = hydra.utils.instantiate(config, _partial_=True, _convert_="all")
        return factory(**more)
    except UserError:
        raise
    except (HydraException, TypeError, ValueError) as error:
        reason = str(error.__cause__ or error).split("\n", 1)[0]
        raise ConfigError(
            f"{where}: {config.get('_target_')} refuses its settings: {reason}"
        ) from None


def experiments() -> list[str]:
    """Names of all experiments (those with an underscore are parts of others)."""
    folder = CONFIGS / "experiment"
    files = (file.relative_to(folder).with_suffix("") for file in folder.rglob("*.yaml"))
    return sorted(file.as_posix() for file in files if not file.name.startswith("_"))


# -- errors of Hydra in one line -------------------------------------------------------------------


def _no_such_file(error: MissingConfigException, overrides: Sequence[str]) -> ConfigError:
    missing = str(error.missing_cfg_file or "")
    group, _, name = missing.partition("/")
    for override in overrides:  # groups such as model/encoder have slashes themselves
        key, _, value = override.partition("=")
        if missing == f"{key}/{value}":
            group, name = key, value
    known = (
        experiments()
        if group == "experiment"
        else [path.stem for path in (CONFIGS / group).glob("*.yaml")]
    )
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or sorted(known)
    return ConfigError(f"{group}={name}: no such {group}; did you mean {', '.join(near)}?")


def _bad_override(error: HydraException, overrides: Sequence[str]) -> ConfigError:
    first = str(error).split("\n", 1)[0]
    cause = error.__cause__
    key = getattr(cause, "full_key", None)
    if isinstance(cause, OmegaConfBaseException) and key:
        given = next((text for text in overrides if text.lstrip("+~").startswith(f"{key}=")), key)
        if "Could not override" in first:
            near = difflib.get_close_matches(key, known_keys(), n=3)
            hint = (
                f"did you mean {', '.join(near)}?" if near else "see describe=true for all settings"
            )
            return ConfigError(f"{given}: no such setting; {hint}")
        return ConfigError(f"{given}: {one_line(cause).removeprefix(f'{key}: ')}")
    return ConfigError(f"{' '.join(overrides)}: {first}; want settings of the form name=value")


def known_keys() -> list[str]:
    """Dotted names of all settings of the default composition."""
    found: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        for key, value in node.items():
            found.append(f"{prefix}{key}")
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")

    plain = OmegaConf.to_container(composed([]))
    assert isinstance(plain, dict)
    walk({key: value for key, value in plain.items() if key != "hydra"}, "")
    return found
