"""The family's slugs as somebody at a page steers them."""

import json

import torch

from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.steering import Steering
from flashdreams_wan.config import WAN_I2V_14B_480P, WAN_TINY_T2V, distilled

CAUSAL = distilled("streaming", "A causal model.", "nowhere")
IMAGE = torch.zeros(1, 3, 1, 480, 832)


def test_a_causal_model_takes_prompts_while_it_streams():
    runner = CAUSAL.setup()
    offered = runner.steering()
    assert [text.name for text in offered.texts] == ["prompt"]
    assert (offered.axes, offered.choices, offered.starts, offered.image) == ((), (), (), False)
    assert runner.steered({}) is None
    assert runner.steered(offered.checked({"prompt": "It begins to rain."})) == {
        "prompt": "It begins to rain."
    }
    assert runner.opening(seed=2) == {"prompts": [CAUSAL.prompt], "seed": 2}
    assert "pipeline" not in vars(runner)


def test_a_clip_takes_a_prompt_when_it_begins_and_none_later():
    runner = WAN_TINY_T2V.setup()
    offered = runner.steering()
    assert offered == Steering(prompt=offered.prompt)
    assert offered.prompt.example == WAN_TINY_T2V.prompt
    assert runner.opening(seed=2, prompt="a fox") == {"prompts": ["a fox"], "seed": 2}
    assert json.loads(json.dumps(offered.as_tree())) == offered.as_tree()


def test_a_model_without_its_encoder_takes_no_prompts_later():
    config = derive_config(CAUSAL, pipeline=dict(encoder=None))
    assert config.setup().steering().texts == ()


def test_a_model_of_images_begins_with_the_image_of_whoever_opens_it():
    runner = WAN_I2V_14B_480P.setup()
    offered = runner.steering()
    assert (offered.image, offered.needs_image, offered.texts) == (True, True, ())
    begun = runner.opening(seed=3, prompt="waves", start=IMAGE)
    assert begun.pop("first_frame") is IMAGE
    assert begun == {"prompts": ["waves"], "latent_frames": 21, "seed": 3}


def test_a_prompt_of_somebody_elses_names_no_file(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    runner, named = CAUSAL.setup(), f"@{tmp_path / 'secret.txt'}"
    assert runner.opening(seed=0, prompt=named)["prompts"] == [named]
    assert runner.steered({"prompt": named}) == {"prompt": named}
