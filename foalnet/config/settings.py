"""Machine settings: corpus roots, workers, device. Equal inputs give equal bytes on the same device and threads.

Sources, strongest first: environment (`FOALNET_WORKERS=2`, `FOALNET_ROOTS__IEMOCAP=/path`), then `settings.yaml`
(git-ignored), then the defaults here.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from foalnet.errors import UsageError

SETTINGS_FILE = Path("settings.yaml")


class Settings(BaseSettings):
    """Where and how fast. Only `device` and `threads` reach the bytes of a model: sums round differently there."""

    model_config = SettingsConfigDict(
        env_prefix="FOALNET_", env_nested_delimiter="__", extra="forbid", frozen=True, yaml_file=SETTINGS_FILE
    )

    roots: dict[str, str] = Field(default_factory=dict, description="corpus name -> absolute root of its files")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="processes: dialogues in staging, folds in training on a CPU",
    )
    slots: int = Field(1, ge=1, description="stages that a flow runs at a time")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N")
    threads: int = Field(
        0, ge=0, description="torch threads of one fold; 0: one. Sums round differently with another number"
    )
    work: Path = Field(Path("work"), description="caches that survive a kill; safe to delete")
    weights: Path | None = Field(
        None, description="folder with weights of detectors and encoders; else the user's caches"
    )
    ffmpeg_timeout_s: float = Field(3600.0, gt=0)
    home: Path | None = Field(None, description="project folder for flows (FOALNET_HOME)")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then settings.yaml."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings() -> Settings:
    """Read the machine settings of the current folder (UsageError, exit 2, where one is wrong)."""
    try:
        return Settings()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the settings file cannot be read: {error}", file=SETTINGS_FILE, action="correct its YAML"
        ) from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise UsageError(
            "\n".join(lines), file=SETTINGS_FILE, action="correct the setting (file or FOALNET_…)"
        ) from error
