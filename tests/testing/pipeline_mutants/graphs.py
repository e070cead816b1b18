"""Faults that no graph can replay, and that lanes show."""

import torch
from torch import nn

from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.testing.toy import ToyDecoder, ToyTransformer
from pipeline_mutants.mutant import Mutant


class TestItem(Mutant):
    found_by = "test_the_host_never_waits"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow * (1.0 if timestep.item() > 500 else 0.5)


class TestList(Mutant):
    found_by = "test_the_host_never_waits"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return pixels * (1 - 0.1 * (self.mix.bias.tolist()[0] > 0)), state


class TestMask(Mutant):
    found_by = "test_the_host_never_waits"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + flow[:1][flow[:1] > 9.0].sum()


class TestMadeInHostMemory(Mutant):
    found_by = "test_the_host_never_waits"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + torch.tensor([0.5, 0.5]).mean(dim=0, keepdim=True)


class TestGrowingNumber(Mutant):
    found_by = "test_graph_keys_settle"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + cache.past.index * 1e-3


class TestEndlessKeys(Mutant):
    found_by = "test_graph_keys_settle"

    class transformer(ToyTransformer):
        def graph_key(self, cache):
            return cache.past.index


class TestUploads(Mutant):
    found_by = "test_graph_keys_settle"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + torch.tensor([0.5], device=flow.device)


class TestOverwritesItsNoise(Mutant):
    found_by = "test_graphs_make_what_the_code_makes"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            latents.mul_(0.9)
            return super().predict_flow(latents, timestep, cache, control)

        def write_context(self, latents, cache, control):
            super().write_context(latents.clone(), cache, control)


class Scratch(nn.Module):
    """Goes by way of a buffer that is left as it was found."""

    def __init__(self):
        super().__init__()
        self.register_buffer("room", torch.zeros(1), persistent=False)

    def forward(self, tensor):
        self.room.fill_(0.01)
        result = tensor + self.room
        self.room.zero_()
        return result


class TestOneScratchForTwo(Mutant):
    found_by = "test_decoding_may_run_beside_the_next_chunk"

    class pipeline(StreamInferencePipeline):
        def __init__(self, config):
            super().__init__(config)
            self.diffusion_model.transformer.scratch = self.decoder.scratch = Scratch()

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            return self.scratch(super().predict_flow(latents, timestep, cache, control))

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return self.scratch(pixels).clamp(-1, 1), state
