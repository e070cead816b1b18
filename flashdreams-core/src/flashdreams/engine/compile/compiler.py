"""A transformer's compiled regions: what was called is remembered, compiled behind, and swapped in or out."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from flashdreams.engine.compile.blueprint import tensors_of
from flashdreams.engine.compile.call import Call, NoRegionError
from flashdreams.engine.compile.code import form_for, load_code
from flashdreams.engine.compile.keys import code_key, module_key, versions
from flashdreams.engine.compile.making import Entry, Maker, Order
from flashdreams.engine.compile.regions import regions_of
from flashdreams.io.artefacts import ArtefactStore

LOG = logging.getLogger(__name__)


class Compiler:
    """The compiled regions of one transformer.

    Attached to its modules it is called in their place. Where it is ``active`` and has the code for a call,
    that runs; else the module itself does. A call that was never seen before has its code looked up in the
    store, or made behind; with ``waits`` the call waits for it.

    Args:
        transformer: The module whose regions are compiled.
        store: Where code is kept across processes.
        waits: Whether a call waits for its code. Then everything that runs is compiled from the first call.
        name: What the code is for, for people who list the store.
    """

    active: bool
    """Whether compiled code may run; True at first where the compiler waits."""
    waits_while_active: bool
    """Whether a new call waits for its code where compiled code may run, though others do not wait."""
    late: list[str]
    """Keys of code that was found missing while the compiler was active and did not wait."""

    def __init__(
        self, transformer: nn.Module, *, store: ArtefactStore | None = None, waits: bool, name: str = ""
    ) -> None:
        self.store = ArtefactStore() if store is None else store
        self.active = self.waits = waits
        self.waits_while_active = False
        self.late = []
        self._name = name
        self._entries: dict[tuple[str, Hashable], Entry] = {}
        self._maker = Maker(self.store)
        self._regions = [Region(module, self) for module in regions_of(transformer)]

    def attach(self) -> None:
        """Be called in place of the regions."""
        for region in self._regions:
            region.module._compiled_call_impl = region

    def detach(self) -> None:
        """Leave the regions as they were, and end what is being compiled."""
        for region in self._regions:
            region.module._compiled_call_impl = None
        self._maker.close()

    def forget_weights(self) -> None:
        """Weights are about to move: look at them again at the next call."""
        for region in self._regions:
            region.forget()

    @contextmanager
    def switched(self, active: bool) -> Iterator[None]:
        """Inside, be active or not."""
        before, self.active = self.active, active
        try:
            yield
        finally:
            self.active = before

    @property
    def seconds(self) -> float:
        """Seconds that compiling took so far, in other processes."""
        return self._maker.seconds

    @property
    def seen(self) -> int:
        """How many kinds of call were seen: modules alike called alike are one."""
        return len(self._entries)

    @property
    def is_ready(self) -> bool:
        """Whether code was loaded for some of what was seen, and nothing is still being made."""
        return self._take_up() and self.has_code

    @property
    def has_code(self) -> bool:
        """Whether code was loaded for some of what was seen."""
        return any(entry.code for entry in self._entries.values())

    @property
    def has_hope(self) -> bool:
        """Whether there is code, or may be: some is being made, or nothing was seen yet that it is for."""
        if self._entries:
            return any(entry.failure is None for entry in self._entries.values())
        return any(region.module._compiled_call_impl is region for region in self._regions)

    @property
    def is_busy(self) -> bool:
        """Whether code is being made now."""
        return any(entry.is_pending for entry in self._entries.values())

    @property
    def made(self) -> list[Entry]:
        """All that was seen; each is a line for people."""
        return list(self._entries.values())

    @property
    def failures(self) -> list[str]:
        """Why code could not be made."""
        return [entry.failure for entry in self._entries.values() if entry.failure is not None]

    def wait(self) -> None:
        """Wait until all that was seen has been made or has failed."""
        self._maker.wait(self._entries.values())

    def entry(self, region: Region, call: Call) -> Entry:
        """What there is for a call of a region; asked for where the call is seen for the first time."""
        known = self._entries.get((region.key, call.signature))
        if known is None:
            known = self._entries[region.key, call.signature] = self._looked_up(region, call)
            if self.waits or (self.active and self.waits_while_active):
                self._wait_for(region)
            elif self.active and known.made is None:
                self._warn_late(known, region)
            if self.active:
                self._load(known)
        return known

    def _wait_for(self, region: Region) -> None:
        if self.is_busy:
            name = type(region.module).__name__
            LOG.warning("Compiling %s, about half a minute; later runs find it compiled.", name)
        self.wait()

    def refuse(self, region: Region, reason: str) -> None:
        """Run a region as it is from now on."""
        LOG.warning("%s is not compiled: %s.", type(region.module).__name__, reason)
        region.module._compiled_call_impl = None

    def _looked_up(self, region: Region, call: Call) -> Entry:
        key = code_key(region.key, call)
        facts, made = self._facts(region, call), self.store.find(key)
        title = f"{facts['region']} called with {' '.join('x'.join(map(str, s)) for s in facts['shapes'])}"
        if made is not None:
            return Entry(key, title, made=made)
        entry = Entry(key, title, Order(key, region.module, call, facts, is_behind=not self.waits))
        self._maker.ask(entry)
        return entry

    def _facts(self, region: Region, call: Call) -> dict[str, Any]:
        device = str(call.tensors[0].device)
        return {
            "for": self._name,
            "region": type(region.module).__qualname__,
            "shapes": [list(tensor.shape) for tensor in call.tensors],
            "device": device,
            "form": form_for(device),
            "versions": versions(),
        }

    def _take_up(self) -> bool:
        """Load what has been made; whether nothing is still being made."""
        entries = list(self._entries.values())
        for entry in entries:
            self._load(entry)
        return not any(entry.is_pending for entry in entries)

    def _load(self, entry: Entry) -> None:
        if entry.made is None or entry.code is not None or entry.failure is not None:
            return
        try:
            entry.code = load_code(entry.made)
        except Exception as error:  # of torch's loaders, which name no class of their own
            entry.failure = f"{entry.made} cannot be loaded: {error}"
            LOG.warning("%s. `flashdreams cache clear` makes room for new ones.", entry.failure)

    def _warn_late(self, entry: Entry, region: Region) -> None:
        self.late.append(entry.key)
        name = type(region.module).__name__
        LOG.warning("%s was called as never before, and runs eagerly until code for it is made.", name)


class Region:
    """One module, and what is called in its place."""

    key: str

    def __init__(self, module: nn.Module, compiler: Compiler) -> None:
        self.module = module
        self._compiler = compiler
        self._weights: list[torch.Tensor] = []
        self.key = ""

    def forget(self) -> None:
        """Look at the module's weights again at the next call."""
        self._weights, self.key = [], ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run compiled code where there is some for this call, else the module."""
        found = None if torch.is_grad_enabled() else self._found(args, kwargs)
        if found is not None and self._compiler.active:
            entry, call = found
            if entry.code is not None:
                return entry.code.run(call, self._weights)
        return self.module._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _found(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entry, Call] | None:
        try:
            if not self.key:
                self._weights, self.key = tensors_of(self.module), module_key(self.module)
            call = Call(args, kwargs)
            return self._compiler.entry(self, call), call
        except NoRegionError as reason:
            self._compiler.refuse(self, str(reason))
            return None
