import torch
from torch import nn

from flashdreams.engine.cpu_layout import lay_out_for_cpu
from flashdreams.testing.toy import toy_pipeline_config


def test_values_shapes_and_names_stay():
    module = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3).to(torch.bfloat16), nn.Conv2d(2, 4, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    lay_out_for_cpu(module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert module[0].weight.stride() == (1, 7)
    assert module[1].weight.stride() == (7, 1)
    assert module[2].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_pipeline_makes_the_same_video():
    plain, laid_out = (toy_pipeline_config().setup() for _ in range(2))
    lay_out_for_cpu(laid_out)
    videos = []
    for pipeline in (plain, laid_out):
        with pipeline.initialize_cache(seed=1) as rollout:
            videos.append(torch.cat(list(pipeline.stream(rollout, [0.5] * 6)), dim=2))
    # Sums in another order: 1e-7 a product, over 6 chunks that feed back.
    torch.testing.assert_close(*videos, atol=2e-5, rtol=0)
