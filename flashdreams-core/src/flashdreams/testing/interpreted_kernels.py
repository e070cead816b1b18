"""``python -m flashdreams.testing.interpreted_kernels FILE [MODULE]``: holds its kernels to their twins.

Run with ``TRITON_INTERPRET=1``, which Triton reads when it is imported. Prints JSON: what is wrong, or null,
by class. MODULE is the name by which the file is imported, where it imports others relative to that.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

from flashdreams.errors import BrokenPromiseError
from flashdreams.plugins.blame import one_line
from flashdreams.testing.kernel_contract import KernelContract
from flashdreams.testing.kernel_processes import Fault, not_run


def main(path: str, module: str = "interpreted_kernels_of") -> None:
    """Load the file, compare the kernels of its contracts on the CPU, and print what is wrong."""
    found = vars(_loaded(path, module)).values()
    contracts = [each for each in found if isinstance(each, type) and issubclass(each, KernelContract)]
    faults = {each.__qualname__: _fault(each, path) for each in contracts if each is not KernelContract}
    print(json.dumps(faults))


def _fault(contract: type[KernelContract], path: str) -> Fault | None:
    try:
        contract().compare_kernel("cpu")
    except BrokenPromiseError as error:
        return error.what, error.right, error.next
    except Exception as error:
        return not_run(contract.__name__, one_line(error), path)
    return None


def _loaded(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
