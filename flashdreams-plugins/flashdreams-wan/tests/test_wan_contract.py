"""The tiny clip keeps every promise of a pipeline that it can keep with one chunk."""

from typing import ClassVar

from flashdreams.infra.config import derive_config
from flashdreams.testing import PipelineContract
from flashdreams_wan.config import WAN_TINY_T2V
from flashdreams_wan.context.config import PromptSwitchEncoderConfig


class TestTinyClip(PipelineContract):
    slug = "wan-tiny-t2v"
    overrides: ClassVar = dict(
        height=32,
        width=48,
        diffusion_model=dict(scheduler=dict(num_inference_steps=2), transformer=dict(layers=2)),
    )


def test_a_clip_is_one_chunk_and_a_causal_model_goes_on():
    changes = dict(encoder=PromptSwitchEncoderConfig(), diffusion_model=dict(transformer=dict(chunk=3)))
    causal = derive_config(WAN_TINY_T2V, pipeline=changes)
    clip, causal = (runner.setup().capabilities for runner in (WAN_TINY_T2V, causal))
    assert (clip.chunks, clip.past, clip.controls) == (1, False, False)
    assert (causal.chunks, causal.past, causal.controls) == (None, True, True)
