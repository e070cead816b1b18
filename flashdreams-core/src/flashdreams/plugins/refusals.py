"""What to say of a name that cannot be had: nobody registers it, several do, or its plugin is broken."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flashdreams.errors import (
    BrokenPluginError,
    PluginError,
    PluginVersionError,
    UnknownCommandError,
    UnknownComponentError,
    UnknownSlugError,
    did_you_mean,
    nearest,
)
from flashdreams.plugins.api import ApiMisfit
from flashdreams.plugins.blame import BrokenPlugin
from flashdreams.plugins.catalogue import Known, catalogue
from flashdreams.plugins.entries import Clash
from flashdreams.plugins.installed import RUNNER_VARIABLE, is_installed

_TRACEBACK = "See the traceback with: flashdreams plugins -v"


def unknown_slug(slug: str, installed: Collection[str], broken: Sequence[BrokenPlugin]) -> PluginError:
    """The error that helps most: the plugin that failed, the nearest slug, or what to install."""
    misfits = (fault for fault in broken if isinstance(fault, ApiMisfit) and fault.may_have(slug))
    if (misfit := next(misfits, None)) is not None:
        return _misfit(slug, misfit, "comes" if slug in misfit.slugs else "seems to come")
    known = catalogue()
    meant = slug if slug in known else nearest(slug, {*installed, *known})
    if meant is not None and meant not in installed:
        return _elsewhere(slug, meant, known[meant], broken)
    next_step = "See every slug with: flashdreams list"
    if broken:
        next_step += f" (and what failed to load, {broken[0].distribution} first, with: flashdreams plugins)"
    return UnknownSlugError(f"There is no slug {slug!r}.", did_you_mean(slug, installed), next_step)


def _elsewhere(slug: str, meant: str, known: Known, broken: Iterable[BrokenPlugin]) -> PluginError:
    fault = next((fault for fault in broken if fault.distribution == known.distribution), None)
    if isinstance(fault, ApiMisfit):
        return _misfit(meant, fault, "comes")
    if fault is not None:
        right = f"The slug {meant!r} comes with {fault.distribution}, which is installed and broken."
        return BrokenPluginError(fault.blame, right, _TRACEBACK)
    right = "" if meant == slug else f"Did you mean {meant!r}? "
    if is_installed(known.distribution):
        right += f"It comes with another version of {known.distribution} than is installed."
        clone, published = "an up-to-date clone", f"pip install --upgrade {known.distribution}"
    else:
        right += f"It comes with {known.distribution}, which is not installed."
        clone, published = "a clone", f"pip install {known.distribution}"
    next_step = f"In {clone} of FlashDreams: {known.install}; where it is published: {published}"
    return UnknownSlugError(f"There is no slug {slug!r}.", right, next_step)


def _misfit(slug: str, misfit: ApiMisfit, comes: str) -> PluginVersionError:
    right = f"The slug {slug!r} {comes} with it; a plugin fits the plugin API that core offers."
    return PluginVersionError(f"{misfit.origin} is not used: {misfit.reason}.", right, f"{misfit.next}.")


def unknown_kind(kind: str, kinds: Collection[str]) -> UnknownComponentError:
    """No component is of this kind."""
    return UnknownComponentError(
        f"There is no kind of component {kind!r}.",
        did_you_mean(kind, kinds),
        "See them all with: flashdreams components",
    )


def unknown_component(kind: str, name: str, names: Collection[str]) -> UnknownComponentError:
    """No component of this kind has this name."""
    return UnknownComponentError(
        f"There is no {kind} {name!r}.",
        did_you_mean(name, names),
        f"See them all with: flashdreams components {kind}",
    )


def unknown_command(name: str, names: Collection[str]) -> UnknownCommandError:
    """No command has this name."""
    return UnknownCommandError(
        f"There is no command {name!r}.",
        did_you_mean(name, names),
        "See them all with: flashdreams --help",
    )


def claimed(clash: Clash, error: type[PluginError]) -> PluginError:
    """Several plugins claim this name."""
    claimants = sorted({origin.distribution for origin in clash.claimants})
    if RUNNER_VARIABLE in claimants:
        next_step = f"Give it another name in {RUNNER_VARIABLE}."
    elif len(claimants) > 1:
        next_step = "Uninstall all but one of them: pip uninstall " + " ".join(claimants)
    else:
        next_step = f"Ask the authors of {claimants[0]} to register it once."
    return error(f"{clash.blame}.", "A name belongs to one plugin.", next_step)


def broken_target(fault: BrokenPlugin, right: str) -> BrokenPluginError:
    """What was asked for cannot be loaded."""
    return BrokenPluginError(fault.blame, right, _TRACEBACK)
