"""``python -m flashdreams.testing.interpreted_kernels FILE``: holds the kernels of a file to their twins.

Run with ``TRITON_INTERPRET=1``, which Triton reads when it is imported. Prints JSON: what is wrong, by class.
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


def main(path: str) -> None:
    """Load the file, compare the kernels of its contracts on the CPU, and print what is wrong."""
    found = vars(_loaded(path)).values()
    contracts = [each for each in found if isinstance(each, type) and issubclass(each, KernelContract)]
    faults = {each.__qualname__: _fault(each, path) for each in contracts if each is not KernelContract}
    print(json.dumps({name: fault for name, fault in faults.items() if fault is not None}))


def _fault(contract: type[KernelContract], path: str) -> Fault | None:
    try:
        contract().compare_kernel("cpu")
    except BrokenPromiseError as error:
        return error.what, error.right, error.next
    except Exception as error:
        return not_run(contract.__name__, one_line(error), path)
    return None


def _loaded(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("interpreted_kernels_of", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
