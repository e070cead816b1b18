"""Rollouts with prompts of their own, computed as one batch."""

import pytest

from flashdreams.errors import RolloutError
from flashdreams.infra.pipeline.together import Together
from flashdreams_wan.context.config import PromptSwitchEncoderConfig

PROMPTS = ("a red fox", "a blue whale", "a stone")
SETTINGS = {
    "absolute": dict(window=6, sink=2),
    "window": dict(window=6, rope_positions="window"),
    "guided": dict(window=6, guidance_scale=3.0),
    "compact": dict(window=6, cache_dtype="float8_e4m3fn"),
}
TOLERANCE = 2e-5
"""Largest difference in latents, of which the largest are about 5; 0 was measured on a CPU."""


def begin(pipeline, number):
    return pipeline.initialize_cache(prompts=PROMPTS[number], negative_prompt="blur", seed=number)


def control(number, index):
    return {"prompt": "it rains", "recache": True} if (number, index) == (1, 3) else None


def alone(pipeline, number, chunks):
    controls = [control(number, index) for index in range(chunks)]
    with begin(pipeline, number) as rollout:
        return list(pipeline.stream(rollout, controls))


@pytest.mark.parametrize("setting", SETTINGS)
def test_rollouts_together_equal_the_same_alone(setting, tiny_pipeline):
    """One takes a new prompt on the way: that chunk is made alone, and they join again."""
    pipeline = tiny_pipeline(encoder=PromptSwitchEncoderConfig(), **SETTINGS[setting])
    pipeline.slots.limit = 3
    expected = [alone(pipeline, number, 7) for number in range(3)]
    rollouts, together = [begin(pipeline, number) for number in range(3)], Together(pipeline)
    for index in range(7):
        controls = [control(number, index) for number in range(3)]
        assert together.can_join(rollouts)
        if any(controls):
            with pytest.raises(RolloutError, match="different forms"):
                together.generate(rollouts, controls)
            given = zip(rollouts, controls, strict=True)
            chunks = [pipeline.generate(index, rollout, input=one) for rollout, one in given]
            for rollout in rollouts:
                pipeline.finalize(index, rollout)
        else:
            chunks = together.generate(rollouts, controls)
            together.finalize(rollouts)
        for video, chunk in zip(expected, chunks, strict=True):
            assert (video[index] - chunk).abs().max() <= TOLERANCE
