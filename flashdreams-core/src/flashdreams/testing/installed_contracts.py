"""The contracts that an installed plugin is held to, from what it registers and its runners declare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.blame import FAILURES, one_line
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec
from flashdreams.testing.contract import Contract, broken, skip
from flashdreams.testing.installed_plugin import InstalledPlugin, find_plugin, load_config
from flashdreams.testing.obstacles import obstacle_to_component, obstacle_to_slug
from flashdreams.testing.plugin_contract import PluginContract

_OTHER_PROMPT = "something else"
_LARGEST_SIDE = 8
"""Latents of the side of what a decoder is tried on."""


class Unavailable(Contract):
    """Something that cannot be tried out on this machine."""

    reason: ClassVar[str] = ""
    """Why not."""

    def test_it_can_be_tried_here(self) -> None:
        """Skipped, with the reason."""
        skip(self.reason)


class Unusable(Contract):
    """Something that fails before it can be tried out."""

    reason: ClassVar[str] = ""
    """How it fails."""

    def test_it_can_be_tried(self) -> None:
        """Failed, with the reason."""
        broken(
            f"It fails before it can be tried: {self.reason}",
            "Its target leads to a config; a slug's runner says without weights what a rollout begins with.",
            "See the traceback: flashdreams plugins -v, or in Python "
            "flashdreams.config(SLUG).setup().conditions().",
        )


def contracts_of(distribution: str, slugs: Sequence[str] = ()) -> list[type[Contract]]:
    """The contracts of an installed plugin, named by what they are about.

    What cannot be tried on this machine has one check, which is skipped with the reason. Nothing is fetched.

    Args:
        distribution: Its name, or that of its entry point.
        slugs: Only the pipelines of these; where empty, everything that the plugin adds.

    Raises:
        PluginError: No such plugin is installed.
    """
    plugin = find_plugin(distribution)
    made = [_slug(entry) for entry in plugin.runners if not slugs or entry.spec.slug in slugs]
    if slugs:
        return made
    named = _contract(f"plugin {plugin.name}", PluginContract, distribution=plugin.name)
    return [named, *(_component(plugin, entry) for entry in plugin.components), *made]


def _slug(entry: Entry[RunnerSpec]) -> type[Contract]:
    title, slug = entry.spec.label, entry.spec.slug

    def make(config: Any) -> type[Contract]:
        from flashdreams.testing.pipeline_contract import PipelineContract

        config.device = "cpu"
        reason = obstacle_to_slug(entry.spec, config)
        return _unavailable(title, reason) if reason else _contract(title, PipelineContract, slug=slug)

    return _tried(title, entry, make)


def _component(plugin: InstalledPlugin, entry: Entry[ComponentSpec]) -> type[Contract]:
    title = entry.spec.label

    def make(config: Any) -> type[Contract]:
        reason = obstacle_to_component(entry.spec, config)
        if reason is not None:
            return _unavailable(title, reason)
        return _component_contract(plugin, entry.spec, config)

    return _tried(title, entry, make)


def _component_contract(
    plugin: InstalledPlugin, spec: ComponentSpec, config: InstantiateConfig
) -> type[Contract]:
    from flashdreams.testing.component_contracts import DecoderContract, EncoderContract, SchedulerContract

    named = {"component": spec.name, "kind": spec.kind}
    if spec.kind == "scheduler":
        return _contract(spec.label, SchedulerContract, **named)
    if spec.kind == "decoder":
        shape = _latents_of(plugin, config)
        if shape or hasattr(config, "latent_channels"):
            return _contract(spec.label, DecoderContract, **named, **shape)
        return _unavailable(spec.label, "no slug of the plugin shows which latents it decodes")
    if spec.kind.endswith("encoder"):
        examples = _examples_for(plugin, config)
        if examples:
            return _contract(spec.label, EncoderContract, **named, **examples)
        return _unavailable(spec.label, "no slug of the plugin shows what it encodes")
    return _unavailable(spec.label, f"a {spec.kind} is tried in the pipelines of slugs")


def _latents_of(plugin: InstalledPlugin, config: InstantiateConfig) -> dict[str, Any]:
    """Channels and size of the latents in a pipeline with a decoder of this class."""
    for runner in _runners(plugin):
        pipeline = runner.effective_pipeline
        if pipeline.decoder is not None and type(pipeline.decoder) is type(config):
            scale = pipeline.decoder.spatial_compression
            height, width = pipeline.height // scale, pipeline.width // scale
            return {
                "latent_channels": pipeline.diffusion_model.transformer.latent_channels,
                "latent_size": (min(height, _LARGEST_SIDE), min(width, _LARGEST_SIDE)),
            }
    return {}


def _examples_for(plugin: InstalledPlugin, config: InstantiateConfig) -> dict[str, Any]:
    """What runners show of the inputs of an encoder of this class."""
    for runner in _runners(plugin):
        pipeline = runner.effective_pipeline
        built = runner.setup()
        if not isinstance(built, Runner):
            continue
        if type(pipeline.encoder) is type(config) and len(built.control_examples()) > 1:
            return {"inputs": tuple(built.control_examples())}
        if type(pipeline.diffusion_model.transformer.context_encoder) is type(config):
            return {"conditions": _ways_to_begin(built), "size": (pipeline.height, pipeline.width)}
    return {}


def _ways_to_begin(runner: Runner) -> tuple[dict[str, Any], ...]:
    given = runner.conditions()
    if isinstance(given.get("prompts"), list):
        return given, {**given, "prompts": [_OTHER_PROMPT] * len(given["prompts"])}
    return (given,)


def _runners(plugin: InstalledPlugin) -> Iterator[RunnerConfig]:
    for entry in plugin.runners:
        try:
            config = load_config(entry)
        except FAILURES:
            continue  # the plugin's own contract names it
        if isinstance(config, RunnerConfig):
            config.device = "cpu"
            yield config


def _tried(
    title: str, entry: Entry[Any], make: Callable[[InstantiateConfig], type[Contract]]
) -> type[Contract]:
    """What ``make`` makes of the config of an entry; a failure where that fails."""
    try:
        return make(load_config(entry))
    except FAILURES as error:
        return _contract(title, Unusable, reason=one_line(error))


def _unavailable(title: str, reason: str) -> type[Contract]:
    return _contract(title, Unavailable, reason=reason)


def _contract(title: str, base: type[Contract], **attributes: Any) -> type[Contract]:
    return type(title, (base,), attributes)
