"""Rollouts are values: many live on one pipeline, each step can be repeated, and any can be copied."""

import gc
import subprocess
import sys

import pytest
import torch

from flashdreams.core.kv_cache_naive import NaiveKVCache
from flashdreams.errors import (
    ClosedRolloutError,
    FieldValueError,
    InputError,
    NoFreeSlotError,
    OutOfOrderError,
    RolloutError,
    SnapshotError,
)
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.observers import Observers
from flashdreams.testing.toy import ToyDecoder, ToyTransformer, toy_pipeline_config

CONTROLS = [0.3, -1.0, 0.7, None, 2.0, -0.2, 0.1]


def video(pipeline, rollout, controls=CONTROLS):
    return torch.cat(list(pipeline.stream(rollout, controls)), dim=2)


def step(pipeline, rollout, control):
    chunk = pipeline.generate(rollout.next_index, rollout, input=control)
    pipeline.finalize(rollout.next_index, rollout)
    return chunk


def test_a_chunk_has_the_shape_and_range_of_pixels(toy):
    with toy.initialize_cache(batch_size=2, prompts="a road") as rollout:
        chunk = toy.generate(0, rollout, input=0.5)
    assert chunk.shape == (2, 3, 2, 8, 8)
    assert chunk.dtype == torch.float32
    assert chunk.abs().max() <= 1


def test_seed_prompt_and_control_all_matter(toy):
    def first_two(**given):
        control = given.pop("control", 0.0)
        with toy.initialize_cache(**given) as rollout:
            return video(toy, rollout, [control] * 2)

    base = first_two(seed=1, prompts="a road")
    assert torch.equal(base, first_two(seed=1, prompts="a road"))
    assert not torch.equal(base, first_two(seed=2, prompts="a road"))
    assert not torch.equal(base, first_two(seed=1, prompts="a river"))
    assert not torch.equal(base, first_two(seed=1, prompts="a road", control=1.0))


def test_a_control_changes_its_own_chunk_and_later_ones_only(toy):
    def stream(controls):
        with toy.initialize_cache() as rollout:
            return video(toy, rollout, controls)

    plain, steered = stream([0.0] * 8), stream([0.0, 0.0, 9.0] + [0.0] * 5)
    assert torch.equal(plain[:, :, :4], steered[:, :, :4])
    for index in range(2, 8):
        chunk = slice(2 * index, 2 * index + 2)
        assert not torch.equal(plain[:, :, chunk], steered[:, :, chunk])


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
@pytest.mark.parametrize(("window", "sink"), [(2, 0), (6, 0), (6, 2), (6, 4), (8, 2)])
def test_the_ring_equals_a_cache_that_is_concatenated_and_cut(monkeypatch, window, sink, rope_positions):
    transformer = dict(window=window, sink=sink, rope_positions=rope_positions)
    config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=transformer))
    controls = CONTROLS + CONTROLS
    with config.setup().initialize_cache() as rollout:
        ring = video(rollout.pipeline, rollout, controls)
    monkeypatch.setattr("flashdreams.testing.toy.KVCache", NaiveKVCache)
    with config.setup().initialize_cache() as rollout:
        naive = video(rollout.pipeline, rollout, controls)
    # The ring sums in another order than time's: 3e-7 a step in float32, over 14 chunks that feed back.
    torch.testing.assert_close(ring, naive, atol=2e-5, rtol=0)


def test_interleaved_rollouts_equal_the_same_run_one_after_the_other(toy):
    def begin(seed):
        return toy.initialize_cache(seed=seed, prompts=f"world {seed}", batch_size=2)

    alone = []
    for seed in (1, 2):
        with begin(seed) as rollout:
            alone.append(video(toy, rollout))
    first, second = begin(1), begin(2)
    mixed = [[], []]
    for control in CONTROLS:
        mixed[0].append(step(toy, first, control))
        mixed[1].append(step(toy, second, control))
    for separate, together in zip(alone, mixed, strict=True):
        assert torch.equal(separate, torch.cat(together, dim=2))


def test_batch_members_depend_on_their_own_prompt_and_noise_only(toy):
    with toy.initialize_cache(seed=3, prompts=["a", "b"], batch_size=2) as rollout:
        both = video(toy, rollout)
    with toy.initialize_cache(seed=3, prompts=["a", "c"], batch_size=2) as rollout:
        other = video(toy, rollout)
    assert torch.equal(both[0], other[0])
    assert not torch.equal(both[1], other[1])


def test_a_step_that_fails_half_way_can_be_retried_to_the_identical_chunk(toy, monkeypatch):
    with toy.initialize_cache(seed=5) as rollout:
        expected = video(toy, rollout)
    plain = ToyTransformer.predict_flow
    calls = {"left": -1}

    def failing(self, *args):
        calls["left"] -= 1
        if calls["left"] == 0:
            raise RuntimeError("injected")
        return plain(self, *args)

    monkeypatch.setattr(ToyTransformer, "predict_flow", failing)
    rollout = toy.initialize_cache(seed=5)
    chunks = []
    for index, control in enumerate(CONTROLS):
        calls["left"] = 2  # the second denoising step
        with pytest.raises(RuntimeError, match="injected"):
            toy.generate(index, rollout, input=control)
        with pytest.raises(OutOfOrderError):
            toy.finalize(index, rollout)
        chunks.append(toy.generate(index, rollout, input=control))
        calls["left"] = 1  # the pass that writes the clean chunk
        with pytest.raises(RuntimeError, match="injected"):
            toy.finalize(index, rollout)
        toy.finalize(index, rollout)
    assert torch.equal(expected, torch.cat(chunks, dim=2))


def test_generate_may_be_repeated_and_never_touches_a_chunk_it_returned(toy):
    rollout = toy.initialize_cache()
    for index in range(5):
        first = toy.generate(index, rollout, input=0.5)
        kept = first.clone()
        other = toy.generate(index, rollout, input=-3.0)
        again = toy.generate(index, rollout, input=0.5)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        toy.finalize(index, rollout)
        assert torch.equal(first, kept)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 6])
def test_restore_and_fork_are_bit_exact_at_any_chunk(toy, after):
    with toy.initialize_cache(seed=4, prompts="x") as rollout:
        expected = video(toy, rollout)
    rollout = toy.initialize_cache(seed=4, prompts="x")
    begun = [step(toy, rollout, control) for control in CONTROLS[:after]]
    snapshot = rollout.snapshot()
    fork = rollout.fork()
    forked = video(toy, fork, CONTROLS[after:])
    original = video(toy, rollout, CONTROLS[after:])
    rollout.close()
    fork.close()
    restored = video(toy, toy.restore(snapshot), CONTROLS[after:])
    for rest in (forked, original, restored):
        assert torch.equal(expected, torch.cat([*begun, rest], dim=2))


def test_a_snapshot_leaves_out_the_chunk_that_is_not_final(toy):
    rollout = toy.initialize_cache(seed=4)
    for control in CONTROLS[:4]:
        step(toy, rollout, control)
    expected = toy.generate(4, rollout, input=1.0)
    snapshot = rollout.snapshot()
    assert torch.equal(expected, toy.generate(4, toy.restore(snapshot), input=1.0))


def test_a_snapshot_goes_back_to_another_pipeline_of_the_same_config(toy):
    rollout = toy.initialize_cache(seed=4)
    step(toy, rollout, 0.5)
    twin = toy_pipeline_config().setup().restore(rollout.snapshot())
    assert torch.equal(video(toy, rollout), video(twin.pipeline, twin))


def test_a_snapshot_of_another_config_is_refused(toy):
    rollout = toy.initialize_cache()
    step(toy, rollout, 0.5)
    for change in (dict(width=32), dict(sink=2), dict(rope_positions="window")):
        config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=change))
        other = config.setup()
        with pytest.raises(SnapshotError, match="whose config differs"):
            other.restore(rollout.snapshot())
        assert other.slots.lent == 0


def test_out_of_order_calls_are_refused(toy):
    rollout = toy.initialize_cache()
    with pytest.raises(OutOfOrderError, match=r"finalize\(0\) was called"):
        toy.finalize(0, rollout)
    with pytest.raises(OutOfOrderError, match="The chunk to generate is 0"):
        toy.generate(1, rollout)
    toy.generate(0, rollout)
    with pytest.raises(OutOfOrderError, match=r"Call finalize\(0\) before generate\(1\)"):
        toy.generate(1, rollout)
    with pytest.raises(OutOfOrderError):
        toy.finalize(1, rollout)
    toy.finalize(0, rollout)
    with pytest.raises(OutOfOrderError):
        toy.finalize(0, rollout)
    with pytest.raises(OutOfOrderError, match="begin another rollout to start over"):
        toy.generate(0, rollout)


def test_order_is_kept_under_python_O():
    program = (
        "from flashdreams.testing.toy import toy_pipeline_config\n"
        "from flashdreams.errors import OutOfOrderError\n"
        "pipeline = toy_pipeline_config().setup()\n"
        "rollout = pipeline.initialize_cache()\n"
        "try:\n    pipeline.finalize(0, rollout)\nexcept OutOfOrderError:\n    print('refused')\n"
    )
    result = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "refused"


def test_slots_are_lent_given_back_and_counted(toy):
    rollouts = [toy.initialize_cache() for _ in range(toy.config.slots)]
    with pytest.raises(NoFreeSlotError, match=r"All 4 slots .* in use(.|\n)*MiB"):
        toy.initialize_cache()
    rollouts.pop().close()
    with toy.initialize_cache():
        pass
    del rollouts[:2]
    gc.collect()
    assert toy.slots.lent == 1


def test_a_slot_keeps_its_addresses_for_the_next_rollout(toy):
    def addresses():
        with toy.initialize_cache(seed=1, prompts="p") as rollout:
            video(toy, rollout)
            slot = rollout.slot
            past = slot.transformer.past
            return [t.data_ptr() for t in (slot.noise, past.keys, past.values, slot.transformer.context)] + [
                slot.control.data_ptr(),
                slot.decoder.committed.data_ptr(),
                slot.encoder.committed.data_ptr(),
            ]

    assert addresses() == addresses() == addresses()


def test_a_reused_slot_remembers_nothing(toy):
    with toy.initialize_cache(seed=1, prompts="first") as rollout:
        expected = video(toy, rollout)
    with toy.initialize_cache(seed=9, prompts="other") as rollout:
        video(toy, rollout, [5.0] * 9)
    with toy.initialize_cache(seed=1, prompts="first") as rollout:
        assert torch.equal(expected, video(toy, rollout))


def test_a_closed_rollout_is_refused(toy):
    rollout = toy.initialize_cache()
    step(toy, rollout, None)
    rollout.close()
    rollout.close()
    for use in (lambda: toy.generate(1, rollout), lambda: toy.finalize(1, rollout), rollout.snapshot):
        with pytest.raises(ClosedRolloutError, match="closed after 1 chunks"):
            use()


def test_a_failed_beginning_gives_its_slot_back(toy):
    with pytest.raises(InputError, match="It takes none"):
        toy.initialize_cache(decoder_context={"colour": 1})
    assert toy.slots.lent == 0


def test_conditions_are_checked(toy):
    with pytest.raises(InputError, match="3 prompts were given for a batch of 2"):
        toy.initialize_cache(prompts=["a", "b", "c"], batch_size=2)
    with pytest.raises(FieldValueError, match="9x8 pixels"):
        toy.initialize_cache(height=9)
    bare = derive_config(
        toy_pipeline_config(), encoder=None, diffusion_model=dict(transformer=dict(context_encoder=None))
    )
    with pytest.raises(InputError, match="It takes no prompts"):
        bare.setup().initialize_cache(prompts="a road")


def test_an_input_without_an_encoder_is_refused():
    pipeline = derive_config(toy_pipeline_config(), encoder=None).setup()
    rollout = pipeline.initialize_cache()
    with pytest.raises(InputError, match="This pipeline has no encoder"):
        pipeline.generate(0, rollout, input=1.0)
    assert pipeline.generate(0, rollout).shape == (1, 3, 2, 8, 8)


def test_without_a_decoder_latents_come_out_and_stay_as_they_are():
    pipeline = derive_config(toy_pipeline_config(), decoder=None).setup()
    rollout = pipeline.initialize_cache(height=4, width=4)
    latents = pipeline.generate(0, rollout)
    assert latents.shape == (1, 4, 2, 4, 4)
    with pipeline.initialize_cache(height=4, width=4) as other:
        expected = torch.cat(list(pipeline.stream(other, [None] * 2)), dim=2)
    latents.zero_()  # the returned tensor is the caller's; the rollout does not read it
    pipeline.finalize(0, rollout)
    assert torch.equal(expected[:, :, 2:], pipeline.generate(1, rollout))


def test_given_noise_replaces_the_drawn(toy):
    def still(seed, chunk, draw, member, shape):
        return torch.full(shape, 0.25)

    def stream(seed, noise):
        with toy.initialize_cache(seed=seed, noise=noise) as rollout:
            return video(toy, rollout)

    assert torch.equal(stream(1, still), stream(2, still))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_dtypes_run_end_to_end(dtype):
    pipeline = derive_config(toy_pipeline_config(), dtype=dtype).setup()
    with pipeline.initialize_cache() as rollout:
        chunks = video(pipeline, rollout)
    assert chunks.dtype == getattr(torch, dtype)
    assert torch.isfinite(chunks).all()


def test_text_and_context_dicts_of_0_1_are_accepted(toy):
    with toy.initialize_cache(prompts=["a road"]) as rollout:
        expected = video(toy, rollout)
    with toy.initialize_cache(text=["a road"], transformer_context={}, encoder_context=None) as rollout:
        chunks = []
        for index, control in enumerate(CONTROLS):
            chunks.append(toy.generate(autoregressive_index=index, cache=rollout, input=control))
            toy.finalize(autoregressive_index=index, cache=rollout)
    assert torch.equal(expected, torch.cat(chunks, dim=2))


def test_a_pipeline_keeps_a_config_of_its_own():
    config = toy_pipeline_config()
    pipeline = config.setup()
    config.name = "changed"
    assert pipeline.config.name == "toy"


@pytest.mark.parametrize("where", ["encoder", "decoder", "transformer", "rollout"])
def test_finalize_interrupted_while_it_commits_goes_on_where_it_was(toy, monkeypatch, where):
    with toy.initialize_cache(seed=5) as rollout:
        expected = video(toy, rollout)
    rollout = toy.initialize_cache(seed=5)
    chunks = [step(toy, rollout, control) for control in CONTROLS[:3]]
    chunks.append(toy.generate(3, rollout, input=CONTROLS[3]))
    owner, name = {
        "encoder": (rollout.slot.encoder, "commit"),
        "decoder": (rollout.slot.decoder, "commit"),
        "transformer": (toy.diffusion_model.transformer, "remember_chunk"),
        "rollout": (rollout, "advance"),
    }[where]

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            toy.finalize(3, rollout)
    with pytest.raises(OutOfOrderError, match="interrupted half-way"):
        toy.generate(3, rollout, input=CONTROLS[3])
    with pytest.raises(OutOfOrderError, match="interrupted half-way"):
        rollout.snapshot()
    toy.finalize(3, rollout)
    chunks += [step(toy, rollout, control) for control in CONTROLS[4:]]
    assert torch.equal(expected, torch.cat(chunks, dim=2))


class ToldObservers(Observers):
    def __init__(self):
        self.told = []

    def rollout_started(self, rollout):
        self.told.append("started")

    def chunk_generated(self, rollout, index, chunk):
        self.told.append(index)

    def rollout_finished(self, rollout):
        self.told.append("finished")


def test_observers_hear_a_beginning_and_an_end_of_every_rollout(toy):
    toy.observers = ToldObservers()
    with pytest.raises(InputError):
        toy.initialize_cache(foo=1)
    with toy.initialize_cache() as rollout:
        step(toy, rollout, None)
        fork = rollout.fork()
    fork.close()
    assert toy.observers.told == ["started", 0, "started", "finished", "finished"]


def test_a_pipeline_moves_only_between_rollouts(toy):
    with toy.initialize_cache() as rollout:
        step(toy, rollout, None)
        with pytest.raises(RolloutError, match="with 1 rollouts alive"):
            toy.to("cpu")
    old = rollout._slot
    toy.to("cpu")
    with toy.initialize_cache() as rollout:
        assert rollout.slot is not old
    with pytest.raises(FieldValueError, match=r"cast from torch\.float32 to torch\.bfloat16"):
        toy.to(torch.bfloat16)


def test_a_rollout_of_another_pipeline_is_refused(toy):
    rollout = toy_pipeline_config().setup().initialize_cache()
    for use in (toy.generate, toy.finalize):
        with pytest.raises(RolloutError, match="was given to another"):
            use(0, rollout)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(seed=-1), "The seed is -1"),
        (dict(seed=1.5), r"The seed is 1\.5"),
        (dict(batch_size=0), "batch_size is 0"),
        (dict(prompts="a", text="b"), "Both prompts and text"),
        (dict(promts="a"), r"was given promts\.(.|\n)*It takes prompts"),
        (dict(first_frame=torch.zeros(1)), "was given first_frame"),
    ],
)
def test_what_a_rollout_cannot_begin_with_is_refused(toy, given, says):
    with pytest.raises(InputError, match=says):
        toy.initialize_cache(**given)
    assert toy.slots.lent == 0


def test_a_decoder_that_hands_latents_on_does_not_share_them():
    config = toy_pipeline_config()
    config.decoder._target = HandingOn
    config.decoder.spatial_compression = 1
    pipeline = config.setup()
    with pipeline.initialize_cache() as rollout:
        chunk = pipeline.generate(0, rollout)
        kept = rollout.pending.latents.clone()
        chunk.zero_()
        assert torch.equal(rollout.pending.latents, kept)


class HandingOn(ToyDecoder):
    def forward(self, latents, state):
        return latents[:, :3], latents[:, :, -1:].clone()


def test_a_control_that_is_refused_leaves_the_generated_chunk_waiting(toy):
    with toy.initialize_cache(seed=2) as rollout:
        expected = video(toy, rollout, [0.5, 0.1])
    rollout = toy.initialize_cache(seed=2)
    first = toy.generate(0, rollout, input=0.5)
    with pytest.raises(ValueError, match="could not convert"):
        toy.generate(0, rollout, input="left")
    toy.finalize(0, rollout)
    assert torch.equal(expected, torch.cat([first, toy.generate(1, rollout, input=0.1)], dim=2))
