"""FlashDreams: streaming video diffusion and interactive world models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flashdreams.infra.pipeline import StreamInferencePipeline, StreamInferencePipelineConfig

    __version__: str

__all__ = ["__version__", "config", "load"]


def load(slug: str, device: str = "auto", **overrides: Any) -> StreamInferencePipeline:
    """The pipeline of a slug, with its weights on ``device`` and the plugins' observers attached.

    How many CPU threads torch computes with stays as it is: a slug's ``threads`` is for its runner.

    Args:
        slug: What ``flashdreams list`` shows.
        device: auto, cpu, cuda, cuda:N or mps.
        **overrides: Changes to the pipeline's config, as ``derive_config`` takes them.

    Raises:
        PluginError: The slug is unknown, claimed twice, or broken.
        ConfigError: An override that the config does not take.
        DeviceError: This machine has no such device.
        WeightsError: Its weights cannot be fetched, trusted or read.
    """
    from flashdreams.infra.config import derive_config
    from flashdreams.io.fetching import fetching_for
    from flashdreams.plugins.registry import installed_registry

    runner = installed_registry().runner_config(slug)
    runner.device = device
    runner.pipeline = derive_config(runner.pipeline, **overrides)
    with fetching_for(slug):
        pipeline: StreamInferencePipeline = runner.setup().pipeline
    return pipeline


def config(slug: str) -> StreamInferencePipelineConfig:
    """The pipeline config of a slug: a deep copy that is the caller's to change.

    Raises:
        PluginError: The slug is unknown, claimed twice, or broken.
    """
    from flashdreams.plugins.registry import installed_registry

    return installed_registry().runner_config(slug).pipeline


def __getattr__(name: str) -> Any:
    """Read ``__version__`` from the installed distribution, once it is asked for."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("flashdreams-core")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
