"""Compiling that may come to something, or breaks off; and keys of modules that differ in a function."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flashdreams.engine.compile import blueprint
from flashdreams.engine.compile.compiler import Compiler
from flashdreams.engine.compile.keys import module_key
from flashdreams.engine.compile.making import Entry, Maker, Order
from flashdreams.engine.equip import engine_for
from flashdreams.engine.hot_swap import HotSwap
from flashdreams.io.artefacts import ArtefactStore


def network_of(block):
    network = nn.Module()
    network.blocks = nn.ModuleList(block() for _ in range(2))
    return network.requires_grad_(False)


class Activated(nn.Linear):
    """Differs from others of its class in what it calls alone."""

    def __init__(self, activation=F.relu):
        super().__init__(4, 4)
        self.activation = activation

    def forward(self, x):
        return self.activation(super().forward(x))


def test_code_that_is_being_made_may_be_there_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(Maker, "ask", lambda self, entry: None)
    network = network_of(Activated)
    compiler = Compiler(network, store=ArtefactStore(tmp_path), waits=False)
    compiler.attach()
    assert compiler.has_hope
    with torch.no_grad():
        network.blocks[0](torch.ones(1, 4))
    (entry,) = compiler.made
    assert compiler.has_hope
    assert not compiler.is_ready
    entry.failure = "no compiler"
    assert not compiler.has_hope


def test_modules_that_cannot_be_compiled_leave_no_hope(tmp_path):
    network = network_of(lambda: Activated(lambda x: x))
    compiler = Compiler(network, store=ArtefactStore(tmp_path), waits=False)
    compiler.attach()
    with torch.no_grad():
        for block in network.blocks:
            block(torch.ones(1, 4))
    assert compiler.seen == 0
    assert not compiler.has_hope


def test_whoever_waits_is_told_of_what_nobody_foresaw(tmp_path, monkeypatch):
    def broken(self, store):
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(Order, "make", broken)
    maker = Maker(ArtefactStore(tmp_path))
    entry = Entry("key", "title", object.__new__(Order))
    maker.ask(entry)
    maker.wait([entry])
    assert entry.failure == "nobody foresaw it"


@pytest.mark.parametrize(
    "activation",
    [F.silu, partial(F.gelu, approximate="tanh"), {"x": 1}, torch.device("cpu"), [F.silu], nn.ReLU],
)
def test_modules_that_call_something_else_have_keys_that_differ(activation):
    assert module_key(Activated(activation)) != module_key(Activated())
    assert module_key(Activated(activation)) == module_key(Activated(activation))


def test_being_attached_changes_no_key(tmp_path):
    network = network_of(Activated)
    before = blueprint.described(network)
    Compiler(network, store=ArtefactStore(tmp_path), waits=False).attach()
    assert blueprint.described(network) == before


@pytest.mark.parametrize("how", [{"compile": True}, {"hot_swap": True, "swap_at": 0}])
def test_a_chunk_that_could_not_be_compiled_is_not_called_compiled(toy, tmp_path, monkeypatch, how):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "file"))
    toy.execution = engine_for(toy, **how)
    with toy.initialize_cache() as rollout:
        toy.generate(0, rollout)
        toy.finalize(0, rollout)
        assert rollout.path == "eager"


def test_a_replay_that_is_compiled_from_the_beginning_waits_for_code_that_is_not_there(tmp_path, monkeypatch):
    made = []

    def make(self, entry):
        made.append(entry)
        entry.failure = "no compiler"

    monkeypatch.setattr(Maker, "ask", make)
    monkeypatch.setattr(Maker, "wait", lambda self, entries: made.append("waited"))
    network = network_of(Activated)
    compiler = Compiler(network, store=ArtefactStore(tmp_path), waits=False)
    HotSwap(compiler, swap_at=0)
    compiler.attach()
    with torch.no_grad(), compiler.switched(True):
        network.blocks[0](torch.ones(1, 4))
    assert made[1:] == ["waited"]
    assert compiler.late == []
