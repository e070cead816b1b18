"""``python -m flashdreams.testing.listing DISTRIBUTION``: what listing a plugin imports, in a fresh process.

Prints JSON: the heavy modules that loading the plugins of the distribution imports, and the milliseconds
that it takes.
"""

from __future__ import annotations

import json
import sys

from flashdreams.plugins.installed import read_installed
from flashdreams.plugins.loading import load_plugins

HEAVY = frozenset(
    (
        *("torch", "torchvision", "torchaudio", "triton", "numpy", "scipy", "pandas", "numba", "matplotlib"),
        *("transformers", "diffusers", "peft", "accelerate", "safetensors", "huggingface_hub", "tokenizers"),
        *("tensorflow", "jax", "keras", "sklearn", "cv2", "PIL", "imageio", "av", "gymnasium", "pygame"),
    )
)
"""Modules that take long to import, or that a machine without a GPU may not have."""


def main(distribution: str) -> None:
    """Load the plugins of one distribution as ``flashdreams list`` does, and print what that took."""
    modules = {
        origin: module
        for origin, module in read_installed().plugins.items()
        if origin.distribution == distribution
    }
    before = set(sys.modules)
    plugins = load_plugins(modules)
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    took = sum(plugin.startup_ms for plugin in plugins)
    print(json.dumps({"heavy": sorted(new & HEAVY), "milliseconds": took}))


if __name__ == "__main__":
    main(sys.argv[1])
