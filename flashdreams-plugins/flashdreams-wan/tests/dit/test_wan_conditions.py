"""What a rollout is given once: prompts, an image, further channels, and latent frames to start from."""

import pytest
import torch

from flashdreams.errors import FieldValueError, InputError, OutOfOrderError

IMAGE = dict(image_width=12, image_tokens=5, condition_channels=3)


def drawn(*shape, seed=2):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def first_chunk(pipeline, **conditions):
    with pipeline.initialize_cache(prompts="a fox", **conditions) as rollout:
        return pipeline.generate(0, rollout)


def test_prompt_image_and_condition_each_matter(tiny_pipeline):
    ours = tiny_pipeline(chunk=3, window=3, **IMAGE)
    given = dict(image=drawn(1, 5, 12), condition=drawn(1, 3, 3, 4, 6))
    flow = first_chunk(ours, **given)
    for name, tensor in given.items():
        assert (first_chunk(ours, **given | {name: -tensor}) - flow).abs().max() > 1e-3, name
    with ours.initialize_cache(prompts="a whale", **given) as rollout:
        assert (ours.generate(0, rollout) - flow).abs().max() > 1e-3


def test_each_chunk_sees_its_own_frames_of_the_condition(tiny_pipeline):
    ours = tiny_pipeline(chunk=2, window=4, **IMAGE)
    condition, image = drawn(1, 3, 4, 4, 6), drawn(1, 5, 12)
    chunks = []
    for frames in (condition, condition.clone()):
        with ours.initialize_cache(prompts="a", image=image, condition=frames) as rollout:
            chunks.append(list(ours.stream(rollout, [None, None])))
            address = rollout.slot.transformer.condition.data_ptr()
        condition[:, :, 2:] += 1
    assert torch.equal(chunks[0][0], chunks[1][0])
    assert torch.equal(chunks[0][1], chunks[1][1])
    with ours.initialize_cache(prompts="a", image=image, condition=condition) as rollout:
        first, second = ours.stream(rollout, [None, None])
        assert rollout.slot.transformer.condition.data_ptr() == address
        with pytest.raises(InputError, match="holds 4 latent frames, and chunk 2 was begun"):
            ours.generate(2, rollout)
    assert torch.equal(first, chunks[0][0])
    assert (second - chunks[0][1]).abs().max() > 1e-3


def test_guidance_reads_the_image_under_both_prompts(tiny_pipeline):
    ours = tiny_pipeline(chunk=3, window=3, guidance_scale=2.0, **IMAGE)
    given = dict(image=drawn(2, 5, 12), condition=drawn(2, 3, 3, 4, 6), batch_size=2)
    with ours.initialize_cache(prompts=["a", "b"], negative_prompt="c", **given) as rollout:
        keys, values = rollout.slot.transformer.image
    for memory in (keys, values):
        assert torch.equal(memory[:, :2], memory[:, 2:])
        assert not torch.equal(memory[:, 0], memory[:, 1])


def test_a_given_start_is_the_first_chunks_and_later_ones_see_it(tiny_pipeline):
    ours = tiny_pipeline(chunk=1, window=6)
    given = drawn(1, 4, 2, 4, 6)
    with ours.initialize_cache(prompts="a", given=given) as rollout:
        chunks = list(ours.stream(rollout, [None] * 3))
        clean = rollout.slot.transformer.clean
        assert torch.equal(clean[:, :, :2], given)
    assert torch.equal(torch.cat(chunks[:2], dim=2), given)
    with ours.initialize_cache(prompts="a", given=given + 1) as rollout:
        other = list(ours.stream(rollout, [None] * 3))
    assert (other[2] - chunks[2]).abs().max() > 1e-3
    with ours.initialize_cache(prompts="a", given=given[:, :, :1]) as rollout:
        one, two, _ = ours.stream(rollout, [None] * 3)
    assert torch.equal(one, chunks[0])
    assert (two - chunks[1]).abs().max() > 1e-3


def test_a_rollout_forgets_the_start_of_the_one_before(tiny_pipeline):
    ours = tiny_pipeline(chunk=1)
    plain = first_chunk(ours)
    first_chunk(ours, given=drawn(1, 4, 1, 4, 6))
    assert torch.equal(first_chunk(ours), plain)


MISSING = {
    "prompt": (dict(), dict(), "has no prompt"),
    "negative prompt": (dict(guidance_scale=2.0), dict(prompts="a"), "has no negative prompt"),
    "image": (IMAGE, dict(prompts="a", condition=torch.zeros(1, 3, 2, 4, 6)), "has no image"),
    "first frame": (IMAGE, dict(prompts="a", image=torch.zeros(1, 5, 12)), "has no first frame"),
    "whole chunks": (dict(), dict(prompts="a", given=torch.zeros(1, 4, 3, 4, 6)), "given 3 latent frames"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_missing_is_named(case, tiny_pipeline):
    changes, conditions, message = MISSING[case]
    ours = tiny_pipeline(**changes)
    with pytest.raises(InputError, match=message):
        ours.initialize_cache(**conditions)
    assert ours.slots.lent == 0


@pytest.mark.parametrize("shape", [(1, 4, 2, 4, 4), (2, 4, 2, 4, 6), (1, 4, 4, 6)], ids=str)
def test_sizes_of_another_model_are_refused(shape, tiny_pipeline):
    with pytest.raises(FieldValueError, match="context encoder gave 'given'"):
        tiny_pipeline().initialize_cache(prompts="a", given=torch.zeros(shape))


def test_an_encoder_of_another_width_is_refused(tiny_pipeline):
    with pytest.raises(FieldValueError, match="context encoder gave 'text' as"):
        tiny_pipeline(context_encoder=dict(width=21)).initialize_cache(prompts="a")


def test_a_size_of_no_whole_tokens_is_refused(tiny_pipeline):
    ours = tiny_pipeline()
    with pytest.raises(FieldValueError) as caught:
        ours.initialize_cache(prompts="a", height=5, width=6)
    assert "5x6" in caught.value.what
    assert "a token is 2 latents wide, so both are multiples of 2" in caught.value.right


def test_a_clip_at_once_has_one_chunk(tiny_pipeline):
    ours = tiny_pipeline(chunk=6)
    with ours.initialize_cache(prompts="a") as rollout:
        ours.generate(0, rollout)
        ours.finalize(0, rollout)
        with pytest.raises(OutOfOrderError, match="6 latent frames at once"):
            ours.generate(1, rollout)
