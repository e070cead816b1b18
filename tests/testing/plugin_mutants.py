"""Installed plugins with one fault each: what pip would leave of them, written into a folder."""

import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

PLUGIN = """
from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec

@hookimpl
def flashdreams_runners():
    return [RunnerSpec("SLUG", "A toy.", "PACKAGE.config:runner")]

@hookimpl
def flashdreams_components():
    return [ComponentSpec("decoder", "SLUG", "Decodes toys.", "PACKAGE.config:DecoderConfig")]
"""

CONFIG = '''
from dataclasses import dataclass
from typing import Any

from flashdreams.infra.decoder.config import DecoderConfig as Base
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig

@dataclass(kw_only=True)
class DecoderConfig(Base):
    """A decoder."""

    _target: Any = "flashdreams.testing.toy:ToyDecoder"
    latent_channels: int = 4
    """Channels of the latents."""

def runner():
    model = DiffusionModelConfig(transformer=TransformerConfig(), scheduler=FlowMatchSchedulerConfig())
    pipeline = StreamInferencePipelineConfig(name="SLUG", diffusion_model=model, decoder=DecoderConfig())
    return RunnerConfig(runner_name="SLUG", pipeline=pipeline)
'''


COUNTING = """
    def __post_init__(self):
        self.used += 1
"""


@dataclass(frozen=True)
class Plugin:
    """A distribution and its one package, as text."""

    caught_by: str = ""
    name: str = ""
    slug: str = ""
    plugin: str = PLUGIN
    config: str = CONFIG
    api: str = "1.0"
    files: tuple[str, ...] = ("py.typed",)
    licence: str = "LICENSE"
    stray: tuple[str, ...] = ()

    def changed(self, old: str, new: str) -> "Plugin":
        """With another text, in whichever module it stands."""
        assert (old in self.plugin) != (old in self.config), old
        return replace(self, plugin=self.plugin.replace(old, new), config=self.config.replace(old, new))

    def install(self, site: Path) -> None:
        package = self.name.replace("-", "_").lower()
        texts = {"__init__": "", "plugin": self.plugin, "config": self.config}
        written = {f"{package}/{name}.py": text for name, text in texts.items()}
        written |= {f"{package}/{name}": "" for name in self.files} | dict.fromkeys(self.stray, "")
        info = f"{package}-1.0.dist-info"
        points = f"[flashdreams.plugins]\n{package} = {package}.plugin\n"
        points += f"[flashdreams.api]\n{self.api} = {package}\n" if self.api else ""
        written[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: 1.0\n"
        written[f"{info}/METADATA"] += "Requires-Dist: flashdreams-core\n"
        written[f"{info}/entry_points.txt"] = points
        if self.licence:
            written[f"{info}/licenses/{self.licence}"] = "Do as you like."
        written[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*written, f"{info}/RECORD"])
        for path, text in written.items():
            place = site / path
            place.parent.mkdir(parents=True, exist_ok=True)
            text = text.replace("PACKAGE", package).replace("SLUG", self.slug or self.name.lower())
            place.write_text(text)


def _plugins() -> dict[str, Plugin]:
    good = Plugin()
    spec = 'RunnerSpec("SLUG", "A toy.", "PACKAGE.config:runner")'
    field = '    latent_channels: int = 4\n    """Channels of the latents."""\n'
    made = {
        "Good": good,
        "NeedsWhatIsAbsent": good.changed(
            '"PACKAGE.config:DecoderConfig"', '"PACKAGE.config:DecoderConfig", needs=("absent",)'
        )
        .changed('"PACKAGE.config:runner"', '"PACKAGE.config:runner", needs=("absent",)')
        .changed("flashdreams.testing.toy:ToyDecoder", "absent:Decoder"),
        "NamedInCapitals": replace(good, caught_by="test_it_is_installed", name="Named-In_Capitals"),
        "DeclaresNoApi": replace(good, caught_by="test_it_declares_the_plugin_api", api=""),
        "WrittenForTheFuture": replace(good, caught_by="test_it_declares_the_plugin_api", api="9.0"),
        "NamesNoVersion": replace(good, caught_by="test_it_declares_the_plugin_api", api="new"),
        "FailsOnImport": replace(good, caught_by="test_listing_it_works", plugin="1 / 0"),
        "ForgetsToMarkHooks": good.changed(
            "@hookimpl\ndef flashdreams_runners", "def flashdreams_runners"
        ).changed("@hookimpl\ndef flashdreams_components", "def flashdreams_components"),
        "RegistersTextInsteadOfSpecs": good.changed(spec, '"SLUG"'),
        "ImportsTorch": replace(good, plugin=f"import torch\n{PLUGIN}"),
        "ImportsNumpyByTheWay": replace(
            good, plugin=PLUGIN.replace("import hookimpl", "import hookimpl\nimport numpy")
        ),
        "UnusualSlug": replace(good, slug="My_Model"),
        "NoSummary": good.changed('"A toy."', '""'),
        "LongSummary": good.changed('"A toy."', '"A toy that says more than fits. " * 5'),
        "MisspeltTarget": good.changed("PACKAGE.config:runner", "PACKAGE.config:runer"),
        "TargetIsNoConfig": good.changed("PACKAGE.config:runner", "PACKAGE.config:FlowMatchSchedulerConfig"),
        "OtherRunnerName": good.changed('runner_name="SLUG"', 'runner_name="another"'),
        "BuildsNothing": good.changed(
            "flashdreams.testing.toy:ToyDecoder", "flashdreams.testing.toy:Decoder"
        ),
        "BuildsWhatItDoesNotRequire": good.changed("flashdreams.testing.toy:ToyDecoder", "pytest:Session"),
        "UnexplainedField": good.changed(field, "    latent_channels: int = 4\n"),
        "FieldOfUnknownType": good.changed(field, field.replace("int", '"Channels"')),
        "FieldThatNoFileHolds": good.changed(field, field + '    phase: complex = 1j\n    """A phase."""\n'),
        "ChangesItself": good.changed(
            field, field + '    used: int = 0\n    """Times it was made."""\n' + COUNTING
        ),
        "Untyped": replace(good, files=()),
        "WithoutLicence": replace(good, licence=""),
        "InstallsItsTests": replace(good, stray=("tests/test_it.py",)),
        "HidesItsTests": replace(good, files=("py.typed", "tests/test_it.py")),
    }
    caught = {
        "ForgetsToMarkHooks": "test_listing_it_works",
        "RegistersTextInsteadOfSpecs": "test_listing_it_works",
        "ImportsTorch": "test_listing_it_imports_nothing_heavy",
        "ImportsNumpyByTheWay": "test_listing_it_imports_nothing_heavy",
        "UnusualSlug": "test_names_are_lower_case",
        "NoSummary": "test_summaries_are_one_line",
        "LongSummary": "test_summaries_are_one_line",
        "MisspeltTarget": "test_every_target_resolves",
        "TargetIsNoConfig": "test_every_target_resolves",
        "OtherRunnerName": "test_runner_names_are_slugs",
        "BuildsNothing": "test_everything_named_can_be_imported",
        "BuildsWhatItDoesNotRequire": "test_what_is_built_comes_with_its_requirements",
        "UnexplainedField": "test_every_field_is_explained",
        "FieldOfUnknownType": "test_help_can_be_printed",
        "FieldThatNoFileHolds": "test_configs_can_be_written_down",
        "ChangesItself": "test_configs_are_their_fields",
        "Untyped": "test_its_types_can_be_checked",
        "WithoutLicence": "test_its_licence_comes_with_it",
        "InstallsItsTests": "test_nothing_stray_is_installed",
        "HidesItsTests": "test_nothing_stray_is_installed",
    }
    return {
        title: replace(
            plugin, caught_by=plugin.caught_by or caught.get(title, ""), name=plugin.name or _hyphened(title)
        )
        for title, plugin in made.items()
    }


def _hyphened(title: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in title)[1:]


PLUGINS = _plugins()


def write(site: Path) -> Path:
    """Install all of them into ``site``, and write the file of tests that holds each to the contract."""
    classes = ["from flashdreams.testing import PluginContract"]
    for title, plugin in PLUGINS.items():
        plugin.install(site)
        classes.append(f'class Test{title}(PluginContract):\n    distribution = "{plugin.name}"')
    classes.append('class TestAbsent(PluginContract):\n    distribution = "no-such-plugin"')
    tests = site / "check_mutants.py"
    tests.write_text(textwrap.dedent("\n\n\n".join(classes)))
    return tests
