"""What a runner needs of the machine."""

import torch

from flashdreams.plugins.needs import missing


def test_an_installed_module_is_not_missing():
    assert missing(["json", "torch", "importlib.metadata"]) == []


def test_absent_modules_are_missing():
    assert missing(["no_such_module", "no_such_package.module"]) == [
        "the module no_such_module is not installed",
        "the module no_such_package.module is not installed",
    ]


def test_devices_are_what_torch_says():
    assert missing(["cuda"]) == ([] if torch.cuda.is_available() else ["there is no cuda device"])
    assert missing(["mps"]) == ([] if torch.backends.mps.is_available() else ["there is no mps device"])
