"""One real message of each kind of error: what somebody did, and the code that was done."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flashdreams.cli import new_plugin
from flashdreams.cli.list_ import main as list_command
from flashdreams.errors import FlashDreamsError
from flashdreams.infra.config import derive_config
from flashdreams.infra.config.file import parse
from flashdreams.infra.decoder.config import DecoderConfig
from flashdreams.plugins.api import misfit
from flashdreams.plugins.blame import Origin
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.installed import Installed
from flashdreams.plugins.registry import Registry
from flashdreams.plugins.specs import RunnerSpec

Act = Callable[[], object]


def message(act: Act) -> tuple[type[FlashDreamsError], str]:
    """The error of an act, which is done in an empty folder: its class, and its three parts.

    Raises:
        RuntimeError: Nothing went wrong.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            act()
        except FlashDreamsError as error:
            return type(error), str(error)
    raise RuntimeError(f"{act} raises nothing")


def _toy() -> Any:
    from flashdreams.testing.toy import toy_pipeline_config

    return toy_pipeline_config()


def _transformer(**changes: Any) -> Act:
    return lambda: derive_config(_toy(), diffusion_model=dict(transformer=changes))


def _registry(*claims: tuple[str, str, str]) -> Registry:
    """A registry of slugs, each with who claims it and its target."""
    specs = [(RunnerSpec(slug, "", target), distribution) for slug, distribution, target in claims]
    return Registry(Installed(runners=[Entry(spec, Origin(name, "1.0")) for spec, name in specs]))


def _core() -> Registry:
    """A registry of core's own components alone."""
    return Registry(Installed(plugins={Origin("flashdreams-core"): "flashdreams.plugins.builtin"}))


def _of_another_api() -> Registry:
    """A registry that read of a plugin only that it was written for a later core."""
    fault = misfit(Origin("flashdreams-pocket", "9.0"), ["2.0"])
    return Registry(Installed(broken=[fault] if fault else []))


def _rollouts(count: int) -> None:
    pipeline = derive_config(_toy(), slots=1).setup()
    kept = [pipeline.initialize_cache() for _ in range(count)]
    kept[0].close()
    pipeline.generate(0, kept[0], input=0.0)


def _skip_a_chunk() -> None:
    pipeline = _toy().setup()
    with pipeline.initialize_cache() as rollout:
        pipeline.generate(1, rollout, input=0.0)


def _restore_elsewhere() -> None:
    with _toy().setup().initialize_cache() as rollout:
        snapshot = rollout.snapshot()
    _transformer(window=8)().setup().restore(snapshot)


def _written(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def _image() -> None:
    from flashdreams.io.images import read_image

    read_image(_written("fox.png", "no picture"))


def _weights(*, names: bool = False, sha256: str | None = None, layouts: Sequence[Any] = ()) -> None:
    import torch
    from safetensors.torch import save_file
    from torch import nn

    from flashdreams.io.weights import load_weights

    save_file({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}, "model.safetensors")
    module = nn.ModuleDict({"head": nn.Linear(2, 3)}) if names else nn.Linear(2, 3)
    load_weights(module, Path("model.safetensors"), sha256=sha256, layouts=layouts)


def _layout() -> None:
    from flashdreams.io.layout import Layout

    _weights(layouts=[Layout("official", marker=r"^blocks\.0\.q\.weight$")])


def _no_weights() -> None:
    from torch import nn

    from flashdreams.io.weights import load_weights

    load_weights(nn.Linear(2, 3), Path("model.safetensors"))


def _lora() -> None:
    from flashdreams.io.lora_file import changes_in, open_lora

    _weights()
    changes_in(open_lora(Path("model.safetensors")))


def _broken_promise() -> None:
    from flashdreams.testing import SchedulerContract

    class TestMyScheduler(SchedulerContract): ...

    TestMyScheduler().make_config()


def _lock(text: str) -> Act:
    from flashdreams.io.lock import parse_lock

    return lambda: parse_lock(text, "my_package", "my_package/weights.lock.json")


def _reference() -> None:
    from flashdreams.io.lock import find_entry

    find_entry("my_package:vae")


def _archive() -> None:
    from flashdreams.io.artefacts import ArtefactStore

    with zipfile.ZipFile("code.zip", "w") as archive:
        archive.writestr("notes.txt", json.dumps({}))
    ArtefactStore(Path("cache")).import_from(Path("code.zip"))


def _output() -> None:
    from flashdreams.io.outputs import check_output

    check_output(_written("drive.mp4", ""))


def _no_address() -> None:
    from flashdreams.client import AsyncClient

    AsyncClient("127.0.0.1:8000")


def _queued() -> None:
    from flashdreams.client.session import still_queued

    raise still_queued(3)


def _left() -> None:
    from flashdreams.client.line import left

    raise left()


def _control() -> None:
    from flashdreams_pocket.controls import parse_script

    parse_script("gas*20, lft*10")


EXAMPLES: dict[str, tuple[str, Act]] = {
    "UsageError": ("`flashdreams list --jsn`", lambda: list_command(["--jsn"])),
    "UnknownFieldError": ("a field `windw`", _transformer(windw=6)),
    "FieldTypeError": ('`window="6"`', _transformer(window="6")),
    "FieldValueError": ("`window=0`", _transformer(window=0)),
    "ConfigFileError": ("a file of one line, `[seed`", lambda: parse("[seed")),
    "TargetError": (
        '`_target="my_package.decoder:MyDecoder"`, and no such package',
        lambda: DecoderConfig(_target="my_package.decoder:MyDecoder").setup(),
    ),
    "UnknownSlugError": (
        "a slug `dirft`",
        lambda: _registry(("drift", "flashdreams-drift", "a:B")).runner_config("dirft"),
    ),
    "SlugClashError": (
        "a slug of two plugins",
        lambda: _registry(("drift", "one", "a:B"), ("drift", "other", "c:D")).runner_config("drift"),
    ),
    "BrokenPluginError": (
        "a slug whose module is not there",
        lambda: _registry(("drift", "flashdreams-drift", "flashdreams_drift:DRIFT")).runner_config("drift"),
    ),
    "UnknownComponentError": (
        "a scheduler `unipcs`",
        lambda: _core().component_config("scheduler", "unipcs"),
    ),
    "UnknownCommandError": ("`flashdreams rnu`", lambda: _core().command("rnu")),
    "PluginVersionError": (
        "a slug of a plugin for a later core",
        lambda: _of_another_api().runner_config("pocket-racer"),
    ),
    "PluginNameError": ("`flashdreams new-plugin My_Model`", lambda: new_plugin.main(["My_Model"])),
    "BrokenPromiseError": ("a contract that is told nothing", _broken_promise),
    "OutOfOrderError": ("chunk 1 of a new rollout", _skip_a_chunk),
    "ClosedRolloutError": ("a chunk of a rollout that was closed", lambda: _rollouts(1)),
    "NoFreeSlotError": ("two rollouts on a pipeline of one slot", lambda: _rollouts(2)),
    "SnapshotError": ("a snapshot, and a pipeline with another window", _restore_elsewhere),
    "ControlError": ('`--controls "gas*20, lft*10"` of pocket-racer', _control),
    "ImageError": ("a file of text", _image),
    "WeightsFileError": ("a file that is not there", _no_weights),
    "WeightsHashError": ("a file that is not the pinned one", lambda: _weights(sha256="0" * 64)),
    "WeightsKeyError": ("a file for another module", lambda: _weights(names=True)),
    "WeightsLayoutError": ("a file whose names are in no known layout", _layout),
    "LoraError": ("a file that is no LoRA", _lora),
    "WeightsReferenceError": ("`my_package:vae`, and no such package", _reference),
    "LockFileError": ("a lock file of one line, `[]`", _lock("[]")),
    "OutputError": ("an output that exists", _output),
    "ArtefactError": ("`flashdreams cache import code.zip` of something else", _archive),
    "NoServerError": ('`Client("127.0.0.1:8000")`', _no_address),
    "SessionQueuedError": ("a session with two others before it", _queued),
    "SessionEndedError": ("a frame of a session that was closed", _left),
}
"""What was done, and the doing of it, by the name of the error."""
