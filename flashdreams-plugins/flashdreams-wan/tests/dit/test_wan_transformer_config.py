"""What the transformer's config refuses, and what it works out."""

import pytest

from flashdreams.errors import FieldValueError
from flashdreams_wan.dit.config import WanTransformerConfig

WRONG = {
    "heads that do not share the width": (dict(width=100, heads=12), "Set width to 108"),
    "heads of an odd width": (dict(width=36, heads=12), "rotations"),
    "odd frequencies": (dict(frequency_width=7), "Take 8"),
    "no layer": (dict(layers=0), "layers is 0"),
    "no text": (dict(text_tokens=0), "text_tokens is 0"),
    "negative channels": (dict(condition_channels=-1), "condition_channels is -1"),
    "a window of no whole chunks": (dict(chunk=3, window=7), "window is 7"),
    "a sink without room": (dict(chunk=21, window=21, sink=21), "sink 21"),
    "an endless scale": (dict(guidance_scale=float("inf")), "guidance_scale is inf"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case):
    fields, message = WRONG[case]
    with pytest.raises(FieldValueError) as caught:
        WanTransformerConfig(**fields)
    assert message in str(caught.value)


def test_the_default_is_the_published_causal_model():
    config = WanTransformerConfig()
    assert (config.chunk, config.window, config.head_width) == (3, 21, 128)
    assert config.is_causal
    assert not config.is_guided
    assert not WanTransformerConfig(chunk=21).is_causal


def test_only_weights_of_a_lock_file_are_references():
    assert WanTransformerConfig(weights="flashdreams_wan:t2v-1.3b").weight_references() == [
        "flashdreams_wan:t2v-1.3b"
    ]
    for weights in ("random", "a/b.safetensors", "C:\\weights.pt"):
        assert WanTransformerConfig(weights=weights, lora=["style.safetensors:0.5"]).weight_references() == []
