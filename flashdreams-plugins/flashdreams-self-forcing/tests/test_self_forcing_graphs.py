"""self-forcing-tiny from CUDA graphs, as far as that shows without a card."""

import pytest

from flashdreams.infra.config import derive_config
from flashdreams.testing.conformance import graph_problems
from flashdreams_self_forcing.config import SELF_FORCING_TINY
from flashdreams_taehv.config import TAEHVDecoderConfig
from flashdreams_wan.context.config import PromptSwitchEncoderConfig

VARIANTS = {
    "with the full VAE": dict(),
    "with the tiny decoder": dict(decoder=TAEHVDecoderConfig(widths=(16, 8, 8, 8), blocks=1)),
    "without end": dict(diffusion_model=dict(transformer=dict(sink=3, rope_positions="window"))),
    "in bfloat16": dict(dtype="bfloat16"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_graphs_make_the_chunks_that_the_code_makes(variant):
    small = dict(
        diffusion_model=dict(transformer=dict(window=9, layers=2)),
        encoder=PromptSwitchEncoderConfig(),
        height=32,
        width=48,
    )
    config = derive_config(derive_config(SELF_FORCING_TINY.pipeline, **small), **VARIANTS[variant])
    switches = {2: {"prompt": "a whale", "recache": True}}
    problems = graph_problems(
        config.setup(), chunks=(5, 2), controls=switches.get, examples=[None], prompts="a fox"
    )
    assert problems == []
