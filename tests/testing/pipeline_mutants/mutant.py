"""The toy with another part, and the toy without any fault."""

import os
from contextlib import contextmanager

from flashdreams.errors import FlashDreamsError
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchScheduler
from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.infra.runner.steerable import Steerable
from flashdreams.infra.runner.steering import Axis, Steering, Text
from flashdreams.testing import PipelineContract
from flashdreams.testing.contract import skip
from flashdreams.testing.toy import (
    ToyControlEncoder,
    ToyDecoder,
    ToyPromptEncoder,
    ToyTransformer,
    toy_pipeline_config,
)


class Mutant(PipelineContract):
    """The toy with another part."""

    found_by: str
    """The check that names the fault."""
    is_found = False
    pipeline = StreamInferencePipeline
    encoder = ToyControlEncoder
    prompt_encoder = ToyPromptEncoder
    transformer = ToyTransformer
    scheduler = FlowMatchScheduler
    decoder = ToyDecoder
    controls = (0.5, -1.0)
    capabilities = Capabilities(prompts=True, controls=True)

    @contextmanager
    def trial(self):
        """Leave the other checks out once one has failed, unless all are asked for."""
        if type(self).is_found:
            skip("found already")
        try:
            with super().trial() as subject:
                yield subject
        except FlashDreamsError:
            type(self).is_found = "ALL_CHECKS" not in os.environ
            raise

    def make_config(self):
        config = toy_pipeline_config()
        model = config.diffusion_model
        config._target = self.pipeline
        config.encoder._target, config.decoder._target = self.encoder, self.decoder
        model.transformer._target, model.scheduler._target = self.transformer, self.scheduler
        model.transformer.context_encoder._target = self.prompt_encoder
        return config

    def conditions(self):
        return {"prompts": ["a road"]}

    def steerable(self):
        return self.steered_by()

    class steered_by(Steerable):
        def steering(self):
            wheel = Axis(name="steer", low=-2.0)
            new_prompt = Text(name="prompt", longest=20)
            return Steering(axes=(wheel,), prompt=new_prompt)

        def steered(self, values):
            return values["steer"]


class TestNoFault(Mutant):
    found_by = ""
