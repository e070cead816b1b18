"""LoRA files: which low-rank products and differences they hold, for which weights, and how strongly."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashdreams.errors import LoraError
from flashdreams.io.safetensors_file import SafetensorsFile

OUTER = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "unet.")
"""What peft, ComfyUI and diffusers put before the names of a network's modules."""
UNDERSCORED = "lora_unet_"
"""What kohya puts before them, their dots become underscores."""

_KEY = re.compile(
    r"(?P<module>.+)\.(?:(?P<down>lora_A|lora_down|lora\.down)|(?P<up>lora_B|lora_up|lora\.up))"
    r"(?:\.default)?\.weight"
    r"|(?P<other>.+)\.(?P<kind>alpha|diff|diff_b)"
)
_STRENGTH = re.compile(r"(?P<path>.+):(?P<scale>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_METADATA = "lora_adapter_metadata"  # where diffusers writes peft's config into the file
KEYS = "<module>.lora_A.weight and .lora_B.weight (or lora_down, lora_up), .alpha, .diff, .diff_b"


@dataclass
class Change:
    """Names in the file of what changes one module."""

    down: str = ""
    """Matrix ``[rank, in]``."""
    up: str = ""
    """Matrix ``[out, rank]``."""
    alpha: str = ""
    """A number that, over the rank, scales their product."""
    diff: str = ""
    """A difference to the weight itself."""
    diff_b: str = ""
    """A difference to the bias."""


@dataclass(frozen=True)
class Strength:
    """How strongly products count, as peft's config says it."""

    alpha: float | None = None
    """For modules without an alpha of their own; None counts as the rank."""
    patterns: dict[str, float] = field(default_factory=dict)
    """Alphas by patterns of module names."""
    by_root: bool = False
    """Divide by the square root of the rank, not by the rank (rank-stabilised LoRA)."""

    def scale(self, module: str, rank: int, own_alpha: float | None) -> float:
        """What the product of a module is multiplied with."""
        matching = [alpha for pattern, alpha in self.patterns.items() if _matches(pattern, module)]
        alpha = next((a for a in (own_alpha, *matching, self.alpha) if a is not None), None)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.by_root else rank)


def _matches(pattern: str, module: str) -> bool:
    """Whether peft means a module by a pattern of its name."""
    return re.fullmatch(rf"(?:.*\.)?(?:{pattern})", module) is not None


def split_scale(text: str) -> tuple[Path, float]:
    """``PATH`` or ``PATH:SCALE`` as its two parts; a colon belongs to the path unless a number follows it."""
    match = _STRENGTH.fullmatch(text)
    if match is None or Path(text).expanduser().exists():
        return Path(text).expanduser(), 1.0
    return Path(match["path"]).expanduser(), float(match["scale"])


def open_lora(path: Path) -> SafetensorsFile:
    """Open a LoRA file, or the only one of a folder.

    Raises:
        LoraError: There is none, or it is not of safetensors.
        WeightsFileError: The file is truncated or damaged.
    """
    found = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(found) == 1 and found[0].is_file() and found[0].suffix == ".safetensors":
        return SafetensorsFile(found[0])
    wrong = f"has {len(found)} .safetensors files" if path.is_dir() else "is no .safetensors file"
    raise LoraError(
        f"The LoRA {path} {wrong if path.exists() else 'is not there'}.",
        "A LoRA is one .safetensors file, or a folder with one; a scale follows after a colon: PATH:0.8",
        "Check the path.",
    )


def changes_in(file: SafetensorsFile) -> dict[str, Change]:
    """What a LoRA file changes, by the names that modules have in it.

    Raises:
        LoraError: The file holds something else, or half of a product.
    """
    changes: dict[str, Change] = {}
    for name in file.names():
        match = _KEY.fullmatch(name)
        if match is None:
            raise _unknown_key(file.path, name)
        kind = match["kind"] or ("down" if match["down"] else "up")
        change = changes.setdefault(match["module"] or match["other"], Change())
        if getattr(change, kind):
            raise _twice(file.path, getattr(change, kind), name)
        setattr(change, kind, name)
    for module, change in changes.items():
        if bool(change.down) != bool(change.up) or not (change.up or change.diff or change.diff_b):
            raise LoraError(
                f"{file.path} has only a part of the change of {module}.",
                "A product has both of its matrices.",
                "Ask for the whole LoRA, or save it again.",
            )
    if not changes:
        raise LoraError(f"{file.path} holds no tensors.", f"A LoRA has {KEYS}.", "Check the path.")
    return changes


def strength_of(file: SafetensorsFile) -> Strength:
    """What adapter_config.json beside the file, or diffusers' metadata in it, says of the strength.

    Raises:
        LoraError: It cannot be read, or asks for what is no plain LoRA.
    """
    config, where = _config(file)
    unsupported = [key for key in ("use_dora", "fan_in_fan_out") if config.get(key)]
    if config.get("peft_type", "LORA") != "LORA":
        unsupported.append(f"peft_type {config['peft_type']}")
    if unsupported:
        raise LoraError(
            f"{where} asks for {', '.join(unsupported)}.",
            "Plain LoRA is merged: weight + scale * alpha / rank * up @ down.",
            "Merge it with peft itself, and use the merged weights.",
        )
    try:
        alpha = config.get("lora_alpha")
        patterns = {key: float(value) for key, value in (config.get("alpha_pattern") or {}).items()}
        for pattern in patterns:
            _matches(pattern, "")
        return Strength(None if alpha is None else float(alpha), patterns, bool(config.get("use_rslora")))
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise _bad_config(where, error) from error


def _config(file: SafetensorsFile) -> tuple[dict[str, Any], str]:
    beside, inside = file.path.with_name("adapter_config.json"), file.metadata.get(_METADATA)
    where = f"The metadata of {file.path}" if inside is not None else str(beside)
    try:
        if inside is not None:
            tree = json.loads(inside)
            return {key.rpartition(".")[2]: value for key, value in tree.items()}, where
        tree = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        return dict(tree), where
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _bad_config(where, error) from error


def _bad_config(where: str, error: Exception) -> LoraError:
    return LoraError(
        f"{where} cannot be read: {error}.",
        "It is peft's config of the LoRA, as JSON.",
        "Ask for the whole LoRA again.",
    )


def _twice(path: Path, first: str, second: str) -> LoraError:
    return LoraError(
        f"{path} says the same twice: {first} and {second}.",
        "Every matrix of a LoRA has one name.",
        "Ask for the whole LoRA, or save it again.",
    )


def _unknown_key(path: Path, name: str) -> LoraError:
    return LoraError(
        f"{path} holds {name}, which is no part of a plain LoRA.",
        f"Known are {KEYS}.",
        "Merge it with the tool that made it, and use the merged weights.",
    )
