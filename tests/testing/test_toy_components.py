"""The toys keep the contracts of components."""

import torch

from flashdreams.testing import DecoderContract, EncoderContract
from flashdreams.testing.toy import ToyControlEncoderConfig, ToyDecoderConfig, ToyPromptEncoderConfig


class TestToyDecoder(DecoderContract):
    config = ToyDecoderConfig()


class TestToyControlEncoder(EncoderContract):
    config = ToyControlEncoderConfig()
    inputs = (0.0, 1.0, -1.0)


class TestToyPromptEncoder(EncoderContract):
    config = ToyPromptEncoderConfig()
    conditions = ({"prompts": ["a fox"]}, {"prompts": ["a hare"]})
    kind = "context_encoder"


class TestNullEncoder(EncoderContract):
    component = "null"
    inputs = (0.0, torch.ones(2))
    steers = False
