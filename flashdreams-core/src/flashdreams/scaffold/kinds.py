"""The kinds of plugin that can be made: what each adds, and in which way it registers it."""

from __future__ import annotations

from dataclasses import dataclass

from flashdreams.plugins.catalogue import catalogue
from flashdreams.scaffold.names import Names

BASE_SLUG = "pocket-racer"
"""The slug that new configs derive from: it runs everywhere, and its weights are in its wheel."""

_SLUG_POINT = '[project.entry-points."flashdreams.runner_configs"]\n{slug} = "{package}.config:{constant}"'
_PLUGIN_POINT = '[project.entry-points."flashdreams.plugins"]\n{name} = "{package}.plugin"'


@dataclass(frozen=True)
class Kind:
    """A kind of plugin."""

    adds: str
    """What it adds, for the help."""
    summary: str
    """What the new plugin is, in one line for its metadata."""
    component: str | None = None
    """The kind of component that it registers under its name."""
    is_shown_by_a_demo: bool = True
    """Whether what it adds is no slug, and is tried out in one called ``NAME-demo``."""
    is_simple: bool = False
    """Whether it registers its slug by an entry point alone, and derives from :data:`BASE_SLUG`."""
    further: tuple[str, ...] = ()
    """Files of other kinds that it has too, ``kind/path``."""

    def slug(self, names: Names) -> str:
        """The slug that shows what the plugin adds."""
        return f"{names.name}-demo" if self.is_shown_by_a_demo else names.name

    def entry_points(self, names: Names) -> str:
        """How it registers, for pyproject.toml."""
        form = _SLUG_POINT if self.is_simple else _PLUGIN_POINT
        return form.format(
            slug=self.slug(names), name=names.name, package=names.package, constant=names.constant
        )

    def distributions(self, core: str) -> list[str]:
        """The distributions of FlashDreams that it needs."""
        return [core, catalogue()[BASE_SLUG].distribution] if self.is_simple else [core]

    def dependencies(self, core: str) -> list[str]:
        """Its requirements."""
        return self.distributions(core) + ([] if self.is_simple else ["torch>=2.9", "einops>=0.8"])


KINDS = {
    "model": Kind(
        "A whole model: prompt, control, transformer with a KV cache, decoder, and a slug that runs it.",
        "A landscape that is dreamt from a prompt and steered chunk by chunk.",
        is_shown_by_a_demo=False,
    ),
    "decoder": Kind(
        "A decoder of latents into pixels.",
        "A decoder that blends latents in space and time.",
        component="decoder",
        further=("model/src/PACKAGE/decoder.py",),
    ),
    "encoder": Kind(
        "An encoder of what steers each chunk.",
        "An encoder of keys that are pressed.",
        component="encoder",
    ),
    "scheduler": Kind(
        "A scheduler: noise levels, and the step from one to the next.",
        "A scheduler that corrects each step by the one before.",
        component="scheduler",
    ),
    "observer": Kind(
        "An observer that is told when a rollout begins, has a chunk, and ends.",
        "An observer of how fast chunks come.",
    ),
    "configs-only": Kind(
        f"A slug of other settings of a model that is there already, {BASE_SLUG}; no code.",
        f"Settings of {BASE_SLUG}: a weaving driver, in three denoising steps.",
        is_shown_by_a_demo=False,
        is_simple=True,
    ),
}
"""Every kind by its name; its files are in ``templates`` under that name."""
