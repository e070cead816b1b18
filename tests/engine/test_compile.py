import logging
import subprocess
import sys

import pytest
import torch
from torch import nn

from flashdreams.engine.compile import blueprint
from flashdreams.engine.compile.call import Call, NoRegionError, filled
from flashdreams.engine.compile.code import load_code, make_code
from flashdreams.engine.compile.compiler import Compiler
from flashdreams.engine.compile.execution import CompiledExecution
from flashdreams.engine.compile.keys import code_key, module_key
from flashdreams.engine.compile.regions import regions_of
from flashdreams.infra.config import derive_config
from flashdreams.io.artefacts import ArtefactStore
from flashdreams.testing.toy import ToyBlock, toy_pipeline_config

CLOSE = dict(rtol=1e-4, atol=1e-5)


def compiled_toy(store, *, waits=True, **overrides):
    pipeline = derive_config(toy_pipeline_config(), **overrides).setup()
    compiler = Compiler(pipeline.diffusion_model.transformer, store=store, waits=waits, name="toy")
    compiler.attach()
    pipeline.execution = CompiledExecution(compiler)
    return pipeline, compiler


def chunks_of(rollout, count):
    pipeline = rollout.pipeline
    return list(pipeline.stream(rollout, [0.1 * n for n in range(count)]))


@pytest.fixture
def block_call():
    tokens, attend = torch.randn(1, 32, 16), lambda q, k, v: q + v
    return Call((tokens, attend), {})


# --- compiled code in rollouts


def test_compiled_rollouts_are_the_eager_ones_and_never_recompile(toy, compiled_store):
    pipeline, compiler = compiled_toy(compiled_store, slots=2)
    first, second = (pipeline.initialize_cache(prompts="a", seed=3) for _ in range(2))
    expected = chunks_of(toy.initialize_cache(prompts="a", seed=3), 30)
    for rollout in (first, second):
        for chunk, eager in zip(chunks_of(rollout, 30), expected, strict=True):
            torch.testing.assert_close(chunk, eager, **CLOSE)
        assert rollout.path == "compiled"
    assert (compiler.seen, compiler.late, compiler.failures) == (1, [], [])
    assert len(compiled_store.entries()) == 1


def test_another_model_of_the_same_sizes_runs_the_same_code_with_weights_of_its_own(compiled_store):
    compiled_toy(compiled_store)[0].initialize_cache()
    weights = dict(diffusion_model=dict(transformer=dict(weights_seed=7)))
    pipeline, compiler = compiled_toy(compiled_store, **weights)
    expected = chunks_of(derive_config(toy_pipeline_config(), **weights).setup().initialize_cache(), 2)
    for chunk, eager in zip(chunks_of(pipeline.initialize_cache(), 2), expected, strict=True):
        torch.testing.assert_close(chunk, eager, **CLOSE)
    assert len(compiled_store.entries()) == compiler.seen == 1


def test_weights_that_move_are_looked_at_again(toy, compiled_store):
    pipeline, compiler = compiled_toy(compiled_store)
    with pipeline.initialize_cache() as rollout:
        chunks_of(rollout, 1)
    for parameter in pipeline.diffusion_model.transformer.parameters():
        parameter.data = parameter.data.clone()
    pipeline.to("cpu")
    (chunk,) = chunks_of(pipeline.initialize_cache(), 1)
    torch.testing.assert_close(chunk, chunks_of(toy.initialize_cache(), 1)[0], **CLOSE)
    assert compiler.late == []


def test_detached_modules_are_as_they_were(toy, compiled_store):
    pipeline, compiler = compiled_toy(compiled_store)
    compiler.detach()
    (chunk,) = chunks_of(pipeline.initialize_cache(), 1)
    assert torch.equal(chunk, chunks_of(toy.initialize_cache(), 1)[0])
    assert compiler.seen == 0


def test_a_call_that_is_new_while_active_is_told_and_runs_eagerly(toy, tmp_path, caplog):
    pipeline, compiler = compiled_toy(ArtefactStore(tmp_path / "empty"), waits=False)
    with torch.no_grad(), compiler.switched(True), caplog.at_level(logging.WARNING):
        rollout = pipeline.initialize_cache()
        pipeline.stages.run_denoise(rollout.slot)
    compiler.detach()
    assert len(compiler.late) == 1
    assert "ToyBlock was called as never before" in caplog.text


def test_a_store_that_cannot_be_written_is_told_with_what_helps(toy, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    pipeline, compiler = compiled_toy(ArtefactStore(tmp_path / "file"))
    rollout = pipeline.initialize_cache()
    first = chunks_of(rollout, 2)[0]
    assert torch.equal(first, chunks_of(toy.initialize_cache(), 1)[0])
    assert rollout.path == "eager"
    assert len(compiler.failures) == 1
    assert "  2. If the cache folder is full or read-only" in caplog.text


def test_a_module_that_another_process_cannot_make_runs_as_it_is(tmp_path, caplog):
    class Local(nn.Linear):
        pass

    network = nn.Module()
    network.blocks = nn.ModuleList(Local(4, 4) for _ in range(2))
    compiler = Compiler(network, store=ArtefactStore(tmp_path), waits=True)
    compiler.attach()
    with torch.no_grad():
        x = torch.ones(1, 4)
        assert torch.equal(network.blocks[0](x), nn.Linear.forward(network.blocks[0], x))
    assert "Local is not compiled: it cannot be described to another process" in caplog.text


def test_where_gradients_are_wanted_the_module_itself_runs(tmp_path):
    network = nn.Module()
    network.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
    compiler = Compiler(network, store=ArtefactStore(tmp_path), waits=True)
    compiler.attach()
    network.blocks[0](torch.ones(1, 4)).sum().backward()
    assert network.blocks[0].weight.grad is not None
    assert compiler.seen == 0


@pytest.mark.slow
def test_code_for_other_devices_is_a_function_that_computes_the_same(tmp_path, block_call):
    block = ToyBlock(16, 2).requires_grad_(False)
    with torch.no_grad():
        make_code(block, block_call.template(), block_call.tensors, "function", tmp_path)
        result = load_code(tmp_path).run(block_call, blueprint.tensors_of(block))
        torch.testing.assert_close(result, block(block_call.tensors[0], block_call.callables[0]), **CLOSE)


@pytest.mark.slow
def test_code_writes_what_the_module_overwrites(tmp_path):
    network = _Overwriting()
    tokens = torch.ones(2, 4)
    call = Call((tokens,), {})
    with torch.no_grad():
        make_code(network, call.template(), [torch.zeros(2, 4)], "shared object", tmp_path)
        result = load_code(tmp_path).run(call, blueprint.tensors_of(network))
    assert torch.equal(tokens, torch.full((2, 4), 3.0))
    assert torch.equal(result["twice"], torch.full((2, 4), 6.0))


class _Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0]), requires_grad=False)

    def forward(self, tokens):
        tokens.add_(self.weight)
        return {"twice": tokens * 2}


# --- regions, calls, keys


def test_large_networks_are_compiled_block_by_block_and_small_ones_whole(toy, monkeypatch):
    transformer = toy.diffusion_model.transformer
    assert regions_of(transformer) == list(transformer.blocks)
    outer = nn.Module()
    outer.net = nn.Module()
    outer.net.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    outer.context_encoder = nn.Module()
    outer.context_encoder.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    assert regions_of(outer) == [outer.net]
    monkeypatch.setattr("flashdreams.engine.compile.regions.WHOLE", 10)
    assert regions_of(outer) == list(outer.net.blocks)


@pytest.mark.parametrize("other", [(True,), (1.0,), ("1",), (None,), (torch.ones(1),), ()])
def test_calls_that_differ_have_signatures_that_differ(other):
    assert Call((1,), {}).signature != Call(other, {}).signature
    assert Call((1,), {}).signature == Call((1,), {}).signature


def test_strides_are_part_of_a_signature_and_callables_and_values_are_not(block_call):
    tokens = torch.zeros(1, 16, 32).transpose(1, 2)
    assert Call((tokens, len), {}).signature != block_call.signature
    assert Call((tokens.contiguous(), len), {}).signature == block_call.signature


def test_a_template_is_filled_with_what_was_taken(block_call):
    args, kwargs = filled(block_call.template(), ["tokens"], ["attend"])
    assert (args, kwargs) == (("tokens", "attend"), {})


def test_a_call_with_what_is_neither_tensor_nor_value_is_no_region():
    with pytest.raises(NoRegionError, match="it is called with a object"):
        Call((object(),), {})


def test_a_drawing_has_no_values_and_keeps_what_is_shared():
    block = ToyBlock(64, 2)
    block.mlp[0].weight = block.mlp[2].weight
    drawing = blueprint.drawn((block, block.out.weight))
    again, weight = blueprint.built(drawing)
    assert len(drawing) < 5000
    assert again.mlp[0].weight is again.mlp[2].weight
    assert again.out.weight is weight
    assert not weight.any()
    assert blueprint.described(again) == blueprint.described(block)


@pytest.mark.parametrize("look", [((2, 3), (3, 1)), ((2, 3), (0, 1)), ((4, 2), (1, 4)), ((0, 3), (3, 1))])
def test_zeros_look_as_they_are_asked_to(look):
    like = torch.empty(100).as_strided(*look)
    made = blueprint.zeros(blueprint.TensorSpec.of(like))
    assert (made.shape, made.stride()) == (like.shape, like.stride())


def test_what_decides_how_a_module_computes_decides_its_key(block_call):
    block, other = ToyBlock(16, 2), ToyBlock(16, 2)
    other.heads = 4
    assert module_key(block) != module_key(other)
    assert module_key(block) == module_key(ToyBlock(16, 2))
    key = code_key(module_key(block), block_call)
    torch.set_num_threads(2)
    try:
        assert code_key(module_key(block), block_call) != key
    finally:
        torch.set_num_threads(1)


def test_a_key_is_the_same_in_another_process():
    lines = (
        "import torch; from flashdreams.testing.toy import ToyBlock",
        "from flashdreams.engine.compile.call import Call; torch.set_num_threads(1)",
        "from flashdreams.engine.compile.keys import code_key, module_key",
        "call = Call((torch.zeros(1, 32, 16), len), {'a': [1, None]})",
        "key = code_key(module_key(ToyBlock(16, 2)), call)",
    )
    scope = {}
    exec("\n".join(lines), scope)
    script = "\n".join([*lines, "print(key)"])
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == scope["key"]
