"""Rollouts that are computed as one batch, beside the same made alone."""

import pytest
import torch

from flashdreams.core.kv_cache import KVCache
from flashdreams.errors import ClosedRolloutError, ControlError, InputError, OutOfOrderError, RolloutError
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.observers import Observers
from flashdreams.infra.pipeline.together import Together
from flashdreams.testing.toy import ToyControlEncoder, ToyDecoder, toy_pipeline_config

CHUNKS = 7
"""The window holds 3, so that the ring turns twice."""
TOLERANCE = 2e-6
"""Largest difference in latents, of which the largest are about 4; 4.8e-7 was measured."""


class ControlOfEachVideo(ToyControlEncoder):
    """As the toy's, with a dimension that counts videos: ``[1, 1]``."""

    def forward(self, input, state):
        control, _ = super().forward(input, state)
        return control.view(1, 1), control.view(1, 1).clone()


def toy(slots=4, encoder=ControlOfEachVideo, **transformer):
    config = derive_config(toy_pipeline_config(), slots=slots, diffusion_model=dict(transformer=transformer))
    config.encoder._target = encoder
    return config.setup()


def control(seed, index):
    return (-1) ** (seed + index) * 0.3 * seed


def begin(pipeline, seed, **given):
    return pipeline.initialize_cache(seed=seed, prompts=f"road {seed}", **given)


def step_alone(rollout, seed):
    index = rollout.next_index
    chunk = rollout.pipeline.generate(index, rollout, input=control(seed, index))
    made = (rollout.pending.latents.clone(), chunk.clone())
    rollout.pipeline.finalize(index, rollout)
    return made


def step_together(together, rollouts):
    """One chunk of rollouts by seed; latents and pixels of each."""
    index = next(iter(rollouts.values())).next_index
    living = [*rollouts.values()]
    chunks = together.generate(living, [control(seed, index) for seed in rollouts])
    made = {
        seed: (rollout.pending.latents.clone(), chunk.clone())
        for (seed, rollout), chunk in zip(rollouts.items(), chunks, strict=True)
    }
    together.finalize(living)
    return made


def alone(seed, chunks=CHUNKS, **config):
    with begin(toy(**config), seed) as rollout:
        return [step_alone(rollout, seed) for _ in range(chunks)]


def apart(one, other):
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("videos", [2, 3])
@pytest.mark.parametrize(
    "config",
    [{}, {"rope_positions": "window", "sink": 2}, {"cache_dtype": "float8_e4m3fn"}],
    ids=["absolute", "window and sink", "compact"],
)
def test_rollouts_together_equal_the_same_alone(videos, config):
    pipeline = toy(**config)
    rollouts = {seed: begin(pipeline, seed) for seed in range(videos)}
    together = Together(pipeline)
    assert together.can_join([*rollouts.values()])
    made = [step_together(together, rollouts) for _ in range(CHUNKS)]
    assert {rollout.path for rollout in rollouts.values()} == {f"batch of {videos}"}
    # A compact cache rounds to 8 bits, so that a difference of the last bit may become one of 2**-4.
    tolerance = 0.05 if config.get("cache_dtype") else TOLERANCE
    for seed in rollouts:
        for expected, got in zip(alone(seed, **config), made, strict=True):
            assert apart(expected, got[seed]) <= tolerance


def test_members_join_and_leave_midway():
    pipeline = toy()
    rollouts = {seed: begin(pipeline, seed) for seed in range(3)}
    together = Together(pipeline)
    groups = [(0, 1), (), (0, 1, 2), (1, 2), (2, 0), (), (2, 1, 0)]
    for index, group in enumerate(groups):
        made = step_together(together, {seed: rollouts[seed] for seed in group}) if group else {}
        for seed in rollouts.keys() - made.keys():
            made[seed] = step_alone(rollouts[seed], seed)
        for seed in rollouts:
            assert apart(alone(seed, index + 1)[index], made[seed]) <= TOLERANCE


def test_nothing_of_one_leaks_into_another():
    """Another neighbour changes not a bit, nor does what the memory for batches held before."""
    beside_one, beside_five = first_video(toy(), 1), toy()
    together = Together(beside_five)
    with begin(beside_five, 8) as earlier, begin(beside_five, 9) as later:
        for _ in range(CHUNKS):
            step_together(together, {8: earlier, 9: later})
    assert all(map(torch.equal, beside_one, first_video(beside_five, 5, together)))


def first_video(pipeline, neighbour, together=None):
    """Pixels of the rollout of seed 0, computed together with another."""
    together = together or Together(pipeline)
    with begin(pipeline, 0) as rollout, begin(pipeline, neighbour) as other:
        return [step_together(together, {0: rollout, neighbour: other})[0][1] for _ in range(CHUNKS)]


def test_a_chunk_may_be_made_again_until_it_is_final():
    pipeline = toy()
    rollouts = [begin(pipeline, seed) for seed in range(2)]
    together = Together(pipeline)
    first = [chunk.clone() for chunk in together.generate(rollouts, [0.1, 0.2])]
    other = together.generate(rollouts, [0.9, 0.2])
    again = together.generate(rollouts, [0.1, 0.2])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(first[1], other[1])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    together.finalize(rollouts)
    assert [rollout.next_index for rollout in rollouts] == [1, 1]


def test_a_chunk_made_together_may_be_finalized_alone_and_the_other_way_round():
    pipeline = toy()
    rollouts = [begin(pipeline, seed) for seed in range(2)]
    together = Together(pipeline)
    together.generate(rollouts, [control(seed, 0) for seed in range(2)])
    for rollout in rollouts:
        pipeline.finalize(0, rollout)
    for seed, rollout in enumerate(rollouts):
        pipeline.generate(1, rollout, input=control(seed, 1))
    together.finalize(rollouts)
    for seed, rollout in enumerate(rollouts):
        assert apart(alone(seed, 3)[2], step_alone(rollout, seed)) <= TOLERANCE


def test_rollouts_that_are_no_batch():
    pipeline = toy(slots=6)
    together = Together(pipeline)
    ahead, behind, large = begin(pipeline, 0), begin(pipeline, 1), begin(pipeline, 2, height=16)
    pair = begin(pipeline, 3, batch_size=2)
    assert together.can_join([ahead, behind])
    for rollouts in ([ahead], [], [ahead, ahead], [ahead, large], [pair, ahead], [pair, pair]):
        assert not together.can_join(rollouts)
    step_alone(ahead, 0)
    assert not together.can_join([ahead, behind])
    with pytest.raises(RolloutError, match="at different chunks") as caught:
        together.generate([ahead, behind], [0.0, 0.0])
    assert caught.value.next.startswith("Go on with each alone")
    step_alone(behind, 1)
    assert together.can_join([ahead, behind])
    with pytest.raises(InputError, match="1 inputs were given for 2"):
        together.generate([ahead, behind], [0.0])
    with pytest.raises(OutOfOrderError):
        together.finalize([ahead, behind])
    with pytest.raises(RolloutError):
        together.can_join([ahead, begin(toy(), 0)])
    behind.close()
    with pytest.raises(ClosedRolloutError):
        together.can_join([ahead, behind])


def test_strangers_are_refused_before_anything_is_finalized():
    """Of another pipeline or size, closed, or given twice: nothing is written for anybody."""
    pipeline, foreign = toy(), toy()
    together = Together(pipeline)
    member, large, pair = (begin(pipeline, 0, **given) for given in ({}, {"height": 16}, {"batch_size": 2}))
    stranger, closed = begin(foreign, 1), begin(pipeline, 2)
    for rollout in (member, large, pair, stranger, closed):
        rollout.pipeline.generate(0, rollout, input=0.0 if rollout is not pair else None)
    closed.close()
    for others in ([stranger], [large], [closed], [member]):
        with pytest.raises(RolloutError):
            together.finalize([member, *others])
    with pytest.raises(RolloutError):
        together.finalize([pair, pair])
    assert not any(rollout.pending.written for rollout in (member, large, pair, stranger))
    assert {rollout.next_index for rollout in (member, large, pair, stranger)} == {0}


def test_caches_that_hold_other_numbers_of_chunks_are_not_gathered():
    pipeline = toy()
    rollouts = [begin(pipeline, seed) for seed in range(2)]
    together = Together(pipeline)
    begun, transformer = KVCache.begin_chunk, pipeline.diffusion_model.transformer
    _, later = (rollout.slot.transformer for rollout in rollouts)

    def one_chunk_later(cache, index):
        begun(cache.past, index + (cache is later))

    transformer.begin_chunk = one_chunk_later
    with pytest.raises(RolloutError, match="at the chunks 0, 1"):
        together.generate(rollouts, [0.1, 0.2])
    assert [rollout.pending for rollout in rollouts] == [None, None]


def test_a_state_of_a_decoder_that_counts_no_videos_is_refused():
    """Here its first dimension counts channels: nobody could say whose is what."""

    class ChannelsFirst(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, None if state is None else state.transpose(0, 1))
            return pixels, state.transpose(0, 1)

    config = derive_config(toy_pipeline_config(), slots=4)
    config.encoder._target, config.decoder._target = ControlOfEachVideo, ChannelsFirst
    pipeline = config.setup()
    rollouts = [begin(pipeline, seed) for seed in range(2)]
    with pytest.raises(RolloutError, match="counts no videos in its first dimension"):
        Together(pipeline).generate(rollouts, [0.1, 0.2])
    assert [rollout.slot.decoder.staged for rollout in rollouts] == [None, None]


def test_a_control_that_belongs_to_no_video_must_be_the_same_for_all():
    pipeline = toy(encoder=ControlWithoutVideos)
    rollouts = [begin(pipeline, seed) for seed in range(2)]
    together = Together(pipeline)
    with pytest.raises(RolloutError, match=r"a tensor \[\] that belongs to all videos differs"):
        together.generate(rollouts, [0.1, 0.2])
    assert len(together.generate(rollouts, [0.1, 0.1])) == 2


class ControlWithoutVideos(ToyControlEncoder):
    def forward(self, input, state):
        control, state = super().forward(input, state)
        return control[0], state


@pytest.mark.parametrize(
    ("step", "failing"),
    [
        ("generate", "diffusion_model.transformer.blocks.0"),
        ("generate", "diffusion_model.transformer.blocks.1"),
        ("generate", "decoder"),
        ("finalize", "diffusion_model.transformer.blocks.1"),
    ],
)
def test_a_failure_leaves_every_rollout_where_it_was(step, failing):
    """Before anything is written, after a layer was, and behind all of it; each then goes on alone."""
    pipeline = toy()
    rollouts = {seed: begin(pipeline, seed) for seed in range(3)}
    together, living = Together(pipeline), [*rollouts.values()]
    step_together(together, rollouts)
    if step == "finalize":
        together.generate(living, [control(seed, 1) for seed in rollouts])
    hook = pipeline.get_submodule(failing).register_forward_pre_hook(_fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        together.finalize(living) if step == "finalize" else together.generate(living, [0.7, 0.8, 0.9])
    hook.remove()
    assert [rollout.next_index for rollout in living] == [1, 1, 1]
    if step == "finalize":
        pipeline.finalize(1, living[0])
        together.finalize(living[1:])
    for seed, rollout in rollouts.items():
        for expected in alone(seed, 4)[rollout.next_index :]:
            assert apart(expected, step_alone(rollout, seed)) <= TOLERANCE


def _fail(module, given):
    raise RuntimeError("on purpose")


def test_a_control_that_one_cannot_take_keeps_none_from_going_on():
    pipeline = toy(encoder=Refusing)
    rollouts = [begin(pipeline, seed) for seed in range(2)]
    together = Together(pipeline)
    with pytest.raises(ControlError):
        together.generate(rollouts, [0.1, 9.0])
    assert [chunk.shape[0] for chunk in together.generate(rollouts, [0.1, 0.2])] == [1, 1]


class Refusing(ControlOfEachVideo):
    def forward(self, input, state):
        if input == 9.0:
            raise ControlError("9.", "Less.", "Take less.")
        return super().forward(input, state)


def test_observers_are_told_of_each_rollout():
    told = []

    class Listening(Observers):
        def chunk_generated(self, rollout, index, chunk):
            told.append((rollout.seed, index, tuple(chunk.shape)))

    pipeline = toy()
    pipeline.observers = Listening()
    Together(pipeline).generate([begin(pipeline, seed) for seed in (4, 5)], [None, None])
    assert told == [(4, 0, (1, 3, 2, 8, 8)), (5, 0, (1, 3, 2, 8, 8))]


def test_memory_for_batches_takes_no_slot_and_stays_where_it_is():
    pipeline = toy(slots=3)
    rollouts = [begin(pipeline, seed) for seed in range(3)]
    together = Together(pipeline)
    addresses = set()
    for _ in range(3):
        together.generate(rollouts, [0.1, 0.2, 0.3])
        together.finalize(rollouts)
        (batch,) = together._slots.values()
        held = [batch.latents, batch.noise, batch.control, batch.decoder.staged, batch.transformer.past.keys]
        addresses.add(tuple(tensor.data_ptr() for tensor in held))
    assert len(addresses) == 1
    assert pipeline.slots.lent == 3
