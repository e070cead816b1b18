"""The context encoder: prompts, negative prompts and first frames as tensors."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from flashdreams.errors import FieldValueError, ImageError, InputError
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.config import derive_config
from flashdreams_wan.context.config import WanContextEncoderConfig
from flashdreams_wan.context.first_frame import known_frames
from flashdreams_wan.image.config import WanImageEncoderConfig
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.vae.config import WanVAEEncoderConfig

TEXT = WanTextEncoderConfig(
    width=16,
    mlp_width=16,
    layers=1,
    heads=2,
    head_width=8,
    vocabulary=384,
    tokens=24,
    cache_embeddings=False,
)
IMAGE = WanImageEncoderConfig(width=16, mlp_width=16, layers=1, heads=2, patch=4, image_size=16)
PLAIN = WanContextEncoderConfig(text=TEXT)
GIVEN = WanContextEncoderConfig(text=TEXT, vae=WanVAEEncoderConfig(base_width=4), first_frame="given")
CHANNELS = derive_config(GIVEN, image=IMAGE, first_frame="channels")
HEIGHT, WIDTH = 16, 24


def conditions(batch_size=1, prompts=("a fox",), first_frame=None, **inputs):
    prompts = list(prompts) * (batch_size // len(prompts)) if prompts else None
    return Conditions(
        prompts=prompts,
        first_frame=first_frame,
        height=HEIGHT,
        width=WIDTH,
        batch_size=batch_size,
        inputs=inputs,
    )


def frame(batch_size=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch_size, 3, 1, HEIGHT, WIDTH, generator=generator) * 2 - 1


# --- prompts


def test_prompts_alone():
    encoder = PLAIN.setup()
    context = encoder(conditions(2, ["a fox", "a hen"]))
    assert context.keys() == {"text"}
    assert torch.equal(context["text"], TEXT.setup()(["a fox", "a hen"]))
    assert torch.equal(encoder.encode_prompts(["a hen"])[0], context["text"][1])
    assert encoder.takes == {"prompts", "negative_prompt"}


@pytest.mark.parametrize("configured", ["an owl", None])
def test_a_negative_prompt_given_or_configured(configured):
    encoder = derive_config(PLAIN, negative_prompt=configured).setup()
    expected = TEXT.setup()(["a fox", "a cow", "an owl"])
    given = encoder(conditions(2, ["a fox"], negative_prompt="a cow"))
    assert torch.equal(given["text"], expected[[0, 0]])
    assert torch.equal(given["negative"], expected[[1, 1]])
    absent = encoder(conditions(2, ["a fox"], negative_prompt=None)).get("negative")
    assert absent is None if configured is None else torch.equal(absent, expected[[2, 2]])
    each = encoder(conditions(2, ["a fox"], negative_prompt=["an owl", "a cow"]))
    assert torch.equal(each["negative"], expected[[2, 1]])


def test_an_empty_prompt_is_one():
    context = derive_config(PLAIN, negative_prompt="").setup()(conditions(prompts=[""]))
    assert torch.equal(context["text"], context["negative"])
    assert context["text"].abs().sum() > 0


def test_no_prompt_is_refused():
    with pytest.raises(InputError, match="No prompt was given"):
        PLAIN.setup()(conditions(prompts=None))


@pytest.mark.parametrize("negative", [["a", "b", "c"], [], [1], 7])
def test_negative_prompts_must_match_the_batch(negative):
    with pytest.raises(InputError, match="negative_prompt is"):
        PLAIN.setup()(conditions(2, negative_prompt=negative))


# --- the first frame


def test_the_first_latent_frame_is_given():
    encoder = GIVEN.setup()
    context = encoder(conditions(2, first_frame=frame(2)))
    assert context.keys() == {"text", "given"}
    assert context["given"].shape == (2, 16, 1, HEIGHT // 8, WIDTH // 8)
    assert torch.equal(context["given"], encoder.vae.encode(frame(2)))
    assert encoder.takes == {"prompts", "negative_prompt", "first_frame"}


def test_one_first_frame_serves_a_whole_batch():
    for config in (GIVEN, CHANNELS):
        encoder = config.setup()
        alone = encoder(conditions(1, first_frame=frame(), latent_frames=3))
        shared = encoder(conditions(3, first_frame=frame(), latent_frames=3))
        for name in alone.keys() - {"text"}:
            assert shared[name].shape == (3, *alone[name].shape[1:])
            assert torch.equal(shared[name][2], alone[name][0])


def test_condition_channels_are_the_mask_and_the_latents_of_a_grey_clip():
    encoder = CHANNELS.setup()
    context = encoder(conditions(first_frame=frame(), latent_frames=4))
    assert context.keys() == {"text", "image", "condition"}
    assert context["condition"].shape == (1, 4 + 16, 4, HEIGHT // 8, WIDTH // 8)
    clip = torch.cat([frame(), torch.zeros(1, 3, 12, HEIGHT, WIDTH)], dim=2)
    assert (context["condition"][:, 4:] - encoder.vae.encode(clip)).abs().max() < 1e-5
    assert encoder.takes == {"prompts", "negative_prompt", "first_frame", "latent_frames"}


def published_mask(latent_frames, height, width):
    """The mask as a view of pixel frames, the first of which is written four times."""
    pixel_frames = 1 + 4 * (latent_frames - 1)
    shown = [frame == 0 for frame in range(pixel_frames)]
    shown = [shown[0]] * 4 + shown[1:]
    mask = torch.tensor(shown).float().view(latent_frames, 4).T
    return mask[:, :, None, None].expand(4, latent_frames, height, width)


def test_the_mask_is_laid_out_as_published():
    for frames in (1, 2, 21):
        assert torch.equal(
            known_frames(frames, 4)[..., None, None].expand(4, frames, 2, 3), published_mask(frames, 2, 3)
        )
    context = CHANNELS.setup()(conditions(2, first_frame=frame(2)))
    assert context["condition"].shape[2] == 21
    assert torch.equal(context["condition"][1, :4], published_mask(21, HEIGHT // 8, WIDTH // 8))


def test_the_image_tokens_are_those_of_the_image_encoder():
    context = CHANNELS.setup()(conditions(2, first_frame=frame(2), latent_frames=1))
    assert context["image"].shape == (2, 17, 16)
    assert (context["image"] - IMAGE.setup()(frame(2)[:, :, 0])).abs().max() < 1e-6


def test_no_first_frame_is_refused():
    with pytest.raises(InputError, match="No first frame was given"):
        GIVEN.setup()(conditions())


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 3, 1, HEIGHT, WIDTH + 8),
        torch.zeros(2, 3, 1, HEIGHT, WIDTH),
        torch.zeros(1, 3, 2, HEIGHT, WIDTH),
        torch.zeros(3, HEIGHT, WIDTH),
        "fox.png",
    ],
    ids=lambda wrong: str(list(getattr(wrong, "shape", ["text"]))),
)
def test_a_first_frame_of_another_shape_is_refused(wrong):
    with pytest.raises(ImageError, match="first_frame is") as error:
        GIVEN.setup()(conditions(3, first_frame=wrong))
    assert f"[3, 3, 1, {HEIGHT}, {WIDTH}]" in error.value.right


@pytest.mark.parametrize("frames", [0, -1, 2.5, "many"])
def test_latent_frames_count(frames):
    with pytest.raises(InputError, match="latent_frames is"):
        CHANNELS.setup()(conditions(first_frame=frame(), latent_frames=frames))


def test_a_vae_without_use_is_refused():
    with pytest.raises(FieldValueError, match="first_frame is 'given' with no vae"):
        WanContextEncoderConfig(text=TEXT, first_frame="given")
    with pytest.raises(FieldValueError, match="first_frame is 'none' with a vae"):
        WanContextEncoderConfig(text=TEXT, vae=WanVAEEncoderConfig(base_width=4))


# --- where and in what


def test_everything_comes_in_the_dtype_that_the_encoder_is_moved_to():
    encoder = CHANNELS.setup().to(torch.bfloat16)
    context = encoder(conditions(first_frame=frame(), latent_frames=2, negative_prompt=""))
    assert {tensor.dtype for tensor in context.values()} == {torch.bfloat16}
    assert set(context) == {"text", "negative", "image", "condition"}


def test_on_meta_everything_has_its_shape_and_can_be_counted():
    encoder = derive_config(CHANNELS, text=dict(tokenizer="nowhere", weights="nowhere.pth")).setup(
        device="meta"
    )
    given = conditions(2, first_frame=torch.empty(2, 3, 1, HEIGHT, WIDTH, device="meta"), negative_prompt="")
    with FlopCounterMode(display=False) as counter:
        context = encoder(given)
    shapes = {name: tuple(tensor.shape) for name, tensor in context.items()}
    assert shapes == {
        "text": (2, 24, 16),
        "negative": (2, 24, 16),
        "image": (2, 17, 16),
        "condition": (2, 20, 21, HEIGHT // 8, WIDTH // 8),
    }
    assert all(tensor.is_meta for tensor in context.values())
    assert counter.get_total_flops() > 0
    assert encoder.transient().keys() == {"text", "image"}
    assert PLAIN.setup().transient().keys() == {"text"}
