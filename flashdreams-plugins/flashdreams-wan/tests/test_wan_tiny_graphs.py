"""wan-tiny-t2v from CUDA graphs, as far as that shows without a card."""

from flashdreams.infra.config import derive_config
from flashdreams.testing.conformance import graph_problems
from flashdreams.testing.graph_replay import replay_rollouts
from flashdreams_wan.config import WAN_TINY_T2V


def clip(**scheduler):
    return derive_config(
        WAN_TINY_T2V.pipeline, diffusion_model=dict(scheduler=scheduler), height=32, width=48
    ).setup()


def test_graphs_make_the_clip_that_the_code_makes():
    assert graph_problems(clip(num_inference_steps=9), chunks=(1, 1), prompts="a fox") == []


def test_a_clip_takes_a_graph_for_its_passes_and_one_for_the_decoder():
    report = replay_rollouts(clip(), chunks=(1,), checks=False, prompts="a fox")
    # The pass that would write keys and values has nothing to do: nothing comes after a clip.
    assert [capture.stage for capture in report.captures] == ["flow", "write_context", "decode"]
    assert report.paths == [["graph"]]
