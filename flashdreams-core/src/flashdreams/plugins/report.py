"""Who adds what and whether it works: everything is loaded to find out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flashdreams.deprecation import Deprecation, noticing
from flashdreams.plugins.blame import BrokenPlugin, Origin
from flashdreams.plugins.entries import Clash, Entry
from flashdreams.plugins.installed import PLUGIN_GROUP, RUNNER_GROUP, RUNNER_VARIABLE
from flashdreams.plugins.registry import Registry
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec


@dataclass
class PluginReport:
    """What one plugin adds, or one distribution without a plugin."""

    origin: Origin
    api: str | None = None
    """The plugin API that its distribution declares; None where it declares none."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    slugs: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    """``kind=name`` of each, as ``--use`` takes it."""
    commands: list[str] = field(default_factory=list)
    faults: list[BrokenPlugin] = field(default_factory=list)
    """What of it failed to load."""
    clashes: list[Clash] = field(default_factory=list)
    """What of it somebody else claims too."""
    heavy: tuple[str, ...] = ()
    """Heavy modules that it imports before it is asked for anything."""
    deprecations: list[Deprecation] = field(default_factory=list)
    """The deprecated things that it uses."""
    startup_ms: float = 0.0
    """Milliseconds that every command waits for it; none for slugs of the simple way."""
    loading_ms: float = 0.0
    """Milliseconds that loading all its slugs and components took after that."""

    @property
    def way(self) -> str:
        """How it registers what it adds: a group of entry points, or the environment."""
        if self.origin.distribution == RUNNER_VARIABLE:
            return "environment variable"
        return PLUGIN_GROUP if self.origin.plugin else RUNNER_GROUP

    @property
    def problems(self) -> list[str]:
        """What is wrong with it, one line each."""
        slow = [f"imports {name} at once: every command waits for it" for name in self.heavy]
        return [*(f.blame for f in self.faults), *(c.blame for c in self.clashes), *slow]

    @property
    def is_healthy(self) -> bool:
        """Whether all of it works."""
        return not self.problems


def report(registry: Registry) -> list[PluginReport]:
    """One report a plugin, in the order of their distributions."""
    reports: dict[Origin, PluginReport] = {}

    def of(origin: Origin) -> PluginReport:
        return reports.setdefault(origin, PluginReport(origin, registry.api(origin)))

    for plugin in registry.plugins:
        told = of(plugin.origin)
        told.hooks, told.heavy, told.startup_ms = plugin.hooks, plugin.heavy, plugin.startup_ms
        told.deprecations = list(plugin.deprecations)
    for fault in registry.broken():
        of(fault.origin).faults.append(fault)
    for runner in registry.runners():
        of(runner.origin).slugs.append(runner.spec.slug)
        _load(registry, runner, of(runner.origin))
    for component in registry.components():
        of(component.origin).components.append(f"{component.spec.kind}={component.spec.name}")
        _load(registry, component, of(component.origin))
    for command in registry.commands():
        of(command.origin).commands.append(command.spec.name)
    for clash in registry.clashes():
        for origin in clash.claimants:
            of(origin).clashes.append(clash)
    return sorted(reports.values(), key=lambda r: (r.origin.distribution, r.origin.plugin))


def _load(registry: Registry, entry: Entry[RunnerSpec] | Entry[ComponentSpec], told: PluginReport) -> None:
    began = time.perf_counter()
    with noticing() as noticed:
        told.faults += registry.check([entry])
    told.loading_ms += 1000 * (time.perf_counter() - began)
    told.deprecations += [each for each in noticed if each not in told.deprecations]
