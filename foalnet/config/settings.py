"""Machine settings: corpus roots, workers, device. The same device and threads give the same bytes.

Sources, strongest first: environment (`FOALNET_WORKERS=2`, `FOALNET_ROOTS__IEMOCAP=/path`), then `settings.yaml`
(git-ignored), then the defaults here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from foalnet.config.base import faults, nearest
from foalnet.config.yamls import json_like, parse_yaml, read_text
from foalnet.core.errors import UsageError

SETTINGS_FILE = Path("settings.yaml")
# Variables that other code reads: traceback on errors, and the tests' folder of real data.
OTHER_VARIABLES = {"FOALNET_DEBUG", "FOALNET_SHARED_DATA"}
# The content of settings.yaml while `load_settings` runs: pydantic-settings takes its sources from the class, and a
# class per folder could not be pickled for worker processes.
_GIVEN: ContextVar[dict[str, Any] | None] = ContextVar("given", default=None)


def _device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name) is None:
        raise ValueError(f"no device '{name}'; write auto, cpu, cuda or cuda:N")
    return name


Device = Annotated[str, AfterValidator(_device)]


class Settings(BaseSettings):
    """The machine settings: where data is, and how much of the machine is used.

    Only `device`, `threads` and `train_processes` affect the bytes of a model, and only `device` those of shards (with
    the detector `sfd`), because sums round differently.
    """

    model_config = SettingsConfigDict(env_prefix="FOALNET_", env_nested_delimiter="__", extra="forbid", frozen=True)

    roots: dict[str, str] = Field(default_factory=dict, description="corpus name -> absolute root of its files")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=1024,
        description="processes: dialogues in staging, folds in training on a CPU",
    )
    slots: int = Field(1, ge=1, le=64, description="number of stages that a flow runs at the same time")
    task_runner: Literal["process", "dask"] = Field(
        "process",
        description="where a flow stages dialogues and trains the parts of a study: in processes on this machine, or "
        "on workers of a Dask cluster",
    )
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N")
    threads: int = Field(
        0, ge=0, le=1024, description="torch threads of one fold; 0: one. Another number rounds sums differently"
    )
    train_processes: int = Field(
        1,
        ge=1,
        le=1024,
        description="processes of one training, each on its own GPU or all on the CPU. Another number rounds sums "
        "differently",
    )
    checkpoint_every_s: float = Field(
        600.0,
        ge=0,
        le=86_400,
        description="interval at which training writes a checkpoint within an epoch; 0: only after each epoch",
    )
    work: Path = Field(Path("work"), description="caches that survive a kill; safe to delete")
    weights: Path | None = Field(
        None, description="folder with weights of detectors and encoders; default ~/.cache/foalnet/weights"
    )
    ffmpeg_timeout_s: float = Field(3600.0, gt=0, le=604_800)
    frames_mib: int = Field(
        256,
        ge=1,
        le=1_048_576,
        description="MiB of raw pictures kept in memory per utterance; a larger one is decoded twice",
    )
    silence_s: float = Field(
        120.0,
        ge=10,
        le=86_400,
        description="a flow run without a heartbeat for this long counts as crashed (foalnet deploy)",
    )
    home: Path | None = Field(None, description="project folder for flows (FOALNET_HOME)")

    @property
    def weights_folder(self) -> Path:
        """Folder into which `foalnet weights fetch` downloads: the setting `weights`, else the user's cache."""
        if self.weights is not None:
            return self.weights
        return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "foalnet" / "weights"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings: the environment first, then settings.yaml."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _GIVEN.get() or {})


# The strict model of settings.yaml: an environment variable may spell a number as text, the file may not.
_FileSettings: type[BaseModel] = create_model(
    "_FileSettings",
    __config__=ConfigDict(extra="forbid", strict=True),
    **{name: (field.annotation, field) for name, field in Settings.model_fields.items()},  # type: ignore[call-overload]
)


def load_settings(folder: Path = Path()) -> Settings:
    """Return the machine settings for a project folder (UsageError, exit 2, if one is wrong).

    >>> load_settings().work
    PosixPath('work')
    """
    _refuse_unknown(os.environ)
    token = _GIVEN.set(_read_settings_file(folder / SETTINGS_FILE))
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            name = "__".join(str(step) for step in fault["loc"]).upper()
            lines.append(
                f"FOALNET_{name}: {fault['msg'].removeprefix('Value error, ')} (got {json_like(fault['input'])})"
            )
        raise UsageError("\n".join(lines), action="correct or unset the environment variable") from error
    finally:
        _GIVEN.reset(token)


def _read_settings_file(file: Path) -> dict[str, Any]:
    """Return the checked content of settings.yaml; {} if the file is absent."""
    text = read_text(file) if file.is_file() else ""
    given = parse_yaml(text, file)
    if not isinstance(given, dict | None):
        raise UsageError("the settings are not a mapping", file=file, action="write one `name: value` per line")
    try:
        # Validated as JSON: strict mode then accepts a string for a path and no other conversion.
        _FileSettings.model_validate_json(json.dumps(given or {}))
    except ValidationError as error:
        raise UsageError(
            "\n".join(faults(_FileSettings, error, text)), file=file, action="correct the setting"
        ) from error
    return given or {}


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raise UsageError (exit 2) for an unknown FOALNET_ variable: a typo must not silently select the default."""
    known = {f"FOALNET_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    for name in sorted(environment):
        if name.upper().startswith("FOALNET_") and name.upper().partition("__")[0] not in known:
            raise UsageError(
                f"{name}: no such setting; {nearest(name, known)}", action="correct or unset the environment variable"
            )
