"""Machine settings: corpus roots, workers, device. Equal inputs give equal bytes on the same device and threads.

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
# Read elsewhere: a traceback on errors, and where the tests look for real data.
OTHER_VARIABLES = {"FOALNET_DEBUG", "FOALNET_SHARED_DATA"}
# What settings.yaml says while `load_settings` works: pydantic-settings takes its sources from the class, and a class
# per folder would not cross process borders.
_GIVEN: ContextVar[dict[str, Any] | None] = ContextVar("given", default=None)


def _device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name) is None:
        raise ValueError(f"no device '{name}'; write auto, cpu, cuda or cuda:N")
    return name


Device = Annotated[str, AfterValidator(_device)]


class Settings(BaseSettings):
    """Where and how fast.

    Only `device`, `threads` and `train_processes` reach the bytes of a model, and `device` those of shards made with
    the detector `sfd`: sums round differently there.
    """

    model_config = SettingsConfigDict(env_prefix="FOALNET_", env_nested_delimiter="__", extra="forbid", frozen=True)

    roots: dict[str, str] = Field(default_factory=dict, description="corpus name -> absolute root of its files")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=1024,
        description="processes: dialogues in staging, folds in training on a CPU",
    )
    slots: int = Field(1, ge=1, le=64, description="stages that a flow runs at a time")
    task_runner: Literal["process", "dask"] = Field(
        "process", description="where a flow's dialogues are staged: processes here, or workers of a Dask cluster"
    )
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N")
    threads: int = Field(
        0, ge=0, le=1024, description="torch threads of one fold; 0: one. Sums round differently with another number"
    )
    train_processes: int = Field(
        1,
        ge=1,
        le=1024,
        description="processes of one training, each on a GPU of its own or all on the CPU. Sums round differently",
    )
    checkpoint_every_s: float = Field(
        600.0,
        ge=0,
        le=86_400,
        description="training writes its state so often within an epoch too; 0: after each epoch alone",
    )
    work: Path = Field(Path("work"), description="caches that survive a kill; safe to delete")
    weights: Path | None = Field(
        None, description="folder with weights of detectors and encoders; else ~/.cache/foalnet/weights"
    )
    ffmpeg_timeout_s: float = Field(3600.0, gt=0, le=604_800)
    frames_mib: int = Field(
        256,
        ge=1,
        le=1_048_576,
        description="MiB of raw pictures that an utterance holds; one with more is decoded twice",
    )
    silence_s: float = Field(
        120.0,
        ge=10,
        le=86_400,
        description="a flow run that gave no sign of life for so long is called crashed (foalnet deploy)",
    )
    home: Path | None = Field(None, description="project folder for flows (FOALNET_HOME)")

    @property
    def weights_folder(self) -> Path:
        """The folder that holds what `foalnet weights fetch` left: the setting `weights`, else the user's cache."""
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
        """Environment first, then settings.yaml where `load_settings` read it."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _GIVEN.get() or {})


# What settings.yaml may say. A variable of the environment is a text and may hold a number; a text in the file may not.
_OfFile: type[BaseModel] = create_model(
    "_OfFile",
    __config__=ConfigDict(extra="forbid", strict=True),
    **{name: (field.annotation, field) for name, field in Settings.model_fields.items()},  # type: ignore[call-overload]
)


def load_settings(folder: Path = Path()) -> Settings:
    """Read the machine settings of a folder (UsageError, exit 2, where one is wrong)."""
    _refuse_unknown(os.environ)
    token = _GIVEN.set(_of_file(folder / SETTINGS_FILE))
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


def _of_file(file: Path) -> dict[str, Any]:
    """Return what settings.yaml says, checked; {} where there is none."""
    text = read_text(file) if file.is_file() else ""
    given = parse_yaml(text, file)
    if not isinstance(given, dict | None):
        raise UsageError("the settings are no mapping", file=file, action="write one `name: value` a line")
    try:
        # As JSON, so that a path may be a text, and nothing else may be what it is not.
        _OfFile.model_validate_json(json.dumps(given or {}))
    except ValidationError as error:
        raise UsageError("\n".join(faults(_OfFile, error, text)), file=file, action="correct the setting") from error
    return given or {}


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse (UsageError, exit 2) a FOALNET_ variable that nobody reads: a slip must not be a silent default."""
    known = {f"FOALNET_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    for name in sorted(environment):
        if name.upper().startswith("FOALNET_") and name.upper().partition("__")[0] not in known:
            raise UsageError(
                f"{name}: no such setting; {nearest(name, known)}", action="correct or unset the environment variable"
            )
