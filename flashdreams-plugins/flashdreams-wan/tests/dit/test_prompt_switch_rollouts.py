"""A new prompt in mid-rollout: taken up, taken back, applied to the past, and kept through snapshots."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from flashdreams.core.rope import apply_rope, rope_angles
from flashdreams.errors import ControlError
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams_wan.context.config import PromptSwitchEncoderConfig

A, B = "a red fox", "a blue whale"
LAST = 5
TOKENS = 6


@pytest.fixture
def pipeline(tiny_pipeline):
    return lambda **changes: tiny_pipeline(encoder=PromptSwitchEncoderConfig(), **changes)


def begun(pipeline, chunks=LAST, prompt=A):
    rollout = pipeline.initialize_cache(prompts=prompt, negative_prompt="blur", seed=7)
    list(pipeline.stream(rollout, [None] * chunks))
    return rollout


def going_on(pipeline, rollout, controls):
    """Chunk ``LAST`` after these controls, of which the last one counts, and the chunk after it."""
    for control in controls:
        chunk = pipeline.generate(LAST, rollout, input=control)
    pipeline.finalize(LAST, rollout)
    return torch.stack([chunk, pipeline.generate(LAST + 1, rollout)])


def ended(pipeline, controls):
    with begun(pipeline) as rollout:
        return going_on(pipeline, rollout, controls)


def switch(prompt, recache):
    return {"prompt": prompt, "recache": recache}


SETTINGS = {
    "absolute": dict(window=8, sink=2),
    "window": dict(window=8, sink=2, rope_positions="window"),
    "guided": dict(window=6, guidance_scale=3.0),
    "bfloat16": dict(window=6, dtype="bfloat16"),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_a_retry_with_another_prompt_is_as_if_it_were_the_first(setting, first, second, pipeline):
    ours = pipeline(**SETTINGS[setting])
    other, wanted = switch("an oak", first), switch(B, second)
    retried = ended(ours, [other, wanted])
    assert torch.equal(retried, ended(ours, [wanted]))
    assert (retried - ended(ours, [other])).abs().amax(dim=(1, 2, 3, 4, 5)).min() > 1e-3


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("recache", [False, True])
def test_a_retry_without_a_prompt_takes_the_old_one_back(setting, recache, pipeline):
    ours = pipeline(**SETTINGS[setting])
    unchanged = ended(ours, [None])
    assert torch.equal(ended(ours, [switch(B, recache), None]), unchanged)
    assert (ended(ours, [switch(B, recache)]) - unchanged).abs().amax(dim=(1, 2, 3, 4, 5)).min() > 1e-3


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_a_final_prompt_is_what_a_later_retry_goes_back_to(first, second, pipeline):
    ours = pipeline(window=6)
    expected = ended(ours, [switch(B, first)])[1]
    with begun(ours) as rollout:
        ours.generate(LAST, rollout, input=switch(B, first))
        ours.finalize(LAST, rollout)
        assert not rollout.slot.transformer.is_switching
        other = ours.generate(LAST + 1, rollout, input=switch("an oak", second))
        assert torch.equal(ours.generate(LAST + 1, rollout), expected)
    assert (other - expected).abs().max() > 1e-3


def test_the_switched_prompt_is_read_as_the_first_one_is(pipeline):
    """From the first chunk on, a switch is the same as having begun so; the negative prompt stays."""
    ours = pipeline(guidance_scale=3.0)
    with begun(ours, chunks=0) as one, begun(ours, chunks=0, prompt=B) as other:
        before = one.slot.transformer.text[0].data_ptr()
        switched, expected = ours.generate(0, one, input=B), ours.generate(0, other)
        assert torch.equal(switched, expected)
        for mine, theirs in zip(one.slot.transformer.text, other.slot.transformer.text, strict=True):
            assert torch.equal(mine, theirs)
        assert one.slot.transformer.text[0].data_ptr() == before


@pytest.mark.parametrize("recache", [False, True])
def test_forks_before_and_after_a_prompt_is_final(recache, pipeline):
    ours = pipeline(window=6)
    unchanged, changed = ended(ours, [None]), ended(ours, [switch(B, recache)])
    with begun(ours) as rollout:
        ours.generate(LAST, rollout, input=switch(B, recache))
        with rollout.fork() as early:
            assert torch.equal(going_on(ours, early, [None]), unchanged)
        ours.finalize(LAST, rollout)
        with rollout.fork() as late:
            assert torch.equal(ours.generate(LAST + 1, late), changed[1])
        assert torch.equal(ours.generate(LAST + 1, rollout), changed[1])


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_a_snapshot_takes_is_known_before(setting, pipeline):
    """With a prompt that is not final also the past under the one before."""
    ours = pipeline(**SETTINGS[setting])
    with begun(ours) as rollout:
        plain = rollout.snapshot_bytes()
        assert plain == rollout.snapshot().bytes
        ours.generate(LAST, rollout, input=switch(B, True))
        assert rollout.snapshot_bytes() == rollout.snapshot().bytes > plain


def test_the_next_rollout_in_the_slot_knows_nothing_of_a_prompt_that_was_never_final(pipeline):
    ours = pipeline()
    expected = ended(ours, [None])
    with begun(ours) as rollout:
        ours.generate(LAST, rollout, input=switch("an oak", True))
    with begun(ours, chunks=0) as rollout:
        assert not rollout.slot.transformer.is_switching
    assert torch.equal(ended(ours, [None]), expected)


def test_what_breaks_off_on_the_way_is_taken_back(pipeline):
    ours = pipeline()
    expected = ended(ours, [None])
    with begun(ours) as rollout:
        last_block = ours.diffusion_model.transformer.network.blocks[-1]
        fault = last_block.register_forward_pre_hook(break_off)
        with pytest.raises(InterruptedError):
            ours.generate(LAST, rollout, input=switch(B, True))
        fault.remove()
        assert torch.equal(going_on(ours, rollout, [None]), expected)


def break_off(module, inputs):
    raise InterruptedError


def test_the_configs_default_says_whether_the_past_is_applied_to(pipeline):
    for default in (False, True):
        ours = pipeline(recache=default)
        assert torch.equal(ended(ours, [B]), ended(ours, [switch(B, default)]))
        assert not torch.equal(ended(ours, [B]), ended(ours, [switch(B, not default)]))


class DensePast:
    """The slow twin: chunks in sight in one dense pass, each seeing those before it; keeps what is cached."""

    def __init__(self, config, chunks):
        self.config, self.chunks, self.kept = config, chunks, []

    def positions(self, chunk):
        """Where latent frames of the chunks in sight are, seen from ``chunk``."""
        size, window = self.config.chunk, self.config.window
        gone = max(0, (chunk + 1) * size - window) if self.config.rope_positions == "window" else 0
        frames = [(n * size + f, n * size < self.config.sink) for n in self.chunks for f in range(size)]
        return torch.tensor([frame if pinned else frame - gone for frame, pinned in frames])

    def __call__(self, q, k, v):
        length, read, cached = self.config.chunk * TOKENS, [], []
        for place, chunk in enumerate(self.chunks):
            here = slice(place * length, (place + 1) * length)
            angles = rope_angles(self.positions(chunk), 2, 3, head_dim=self.config.head_width)
            queries, keys = apply_rope(q, *angles)[:, here], apply_rope(k, *angles)[:, : here.stop]
            scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / self.config.head_width**0.5
            read.append(torch.einsum("bhqk,bkhd->bqhd", scores.softmax(dim=-1), v[:, : here.stop]))
            raw = self.config.rope_positions == "window"
            cached.append((k if raw else apply_rope(k, *angles))[:, here])
        self.kept.append((torch.cat(cached, dim=1), v))
        return torch.cat(read, dim=1)


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
@pytest.mark.parametrize(
    ("window", "sink", "seen"), [(8, 2, [0, 3, 4]), (6, 0, [3, 4]), (12, 0, [0, 1, 2, 3, 4])]
)
def test_the_past_is_what_one_dense_pass_under_the_new_prompt_leaves(
    window, sink, seen, rope_positions, pipeline
):
    ours = pipeline(window=window, sink=sink, rope_positions=rope_positions)
    transformer = ours.diffusion_model.transformer
    with begun(ours) as rollout, begun(ours, chunks=0, prompt=B) as other:
        cache = rollout.slot.transformer
        clean = clean_latents(ours)[:, :, [2 * n + f for n in seen for f in range(2)]]
        twin = DensePast(transformer.config, seen)
        attends = [twin] * transformer.config.layers
        transformer.network(clean, torch.tensor([0.0]), other.slot.transformer.text, None, attends)
        ring = (window - sink) // 2
        places = [n if n < sink // 2 else sink // 2 + (n - sink // 2) % ring for n in seen]
        tokens = torch.cat([torch.arange(12) + 12 * place for place in places])
        before = cache.past.keys[:, :, tokens]
        ours.generate(LAST, rollout, input=switch(B, True))
        keys, values = cache.past.keys[:, :, tokens], cache.past.values[:, :, tokens]
        for layer, (k, v) in enumerate(twin.kept):
            assert (keys[layer] - k).abs().max() <= 2e-6
            assert (values[layer] - v).abs().max() <= 2e-6
        assert (before - keys).abs().max() > 1e-3


def clean_latents(pipeline):
    with begun(pipeline, chunks=0) as rollout:
        return torch.cat(list(pipeline.stream(rollout, [None] * LAST)), dim=2)


WRONG = {
    "a number": (3, "steered by prompts"),
    "no prompts": ({"recache": True}, "steered by prompts"),
    "no texts": ({"prompts": [1]}, "steered by prompts"),
    "too many": ({"prompts": ["a", "b", "c"]}, "3 new prompts were given for 2 videos"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_controls_are_refused_and_change_nothing(case, tiny_pipeline):
    ours = tiny_pipeline()
    transformer = ours.diffusion_model.transformer
    control, message = WRONG[case]
    with ours.initialize_cache(prompts=[A, B], batch_size=2) as rollout:
        expected = ours.generate(0, rollout)
        with pytest.raises(ControlError, match=message):
            transformer.take_control(rollout.slot.transformer, 0, control)
        assert torch.equal(ours.generate(0, rollout), expected)


@dataclass(kw_only=True)
class OnePromptConfig(EncoderConfig):
    """Always the same prompt."""

    _target: Any = field(default_factory=lambda: OnePrompt)


class OnePrompt(Encoder):
    def forward(self, conditions):
        return {"text": torch.ones(1, 8, 20)}


def test_a_context_encoder_that_embeds_no_prompts_is_named(pipeline):
    ours = pipeline(context_encoder=OnePromptConfig())
    with ours.initialize_cache() as rollout:
        ours.generate(0, rollout)
        with pytest.raises(ControlError, match="encode_prompts"):
            ours.generate(0, rollout, input=B)
