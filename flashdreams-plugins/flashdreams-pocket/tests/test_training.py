"""Parts of the training that are easy to get wrong."""

from __future__ import annotations

import torch

from flashdreams_pocket.network import FRAME_TOKENS, RacerDiT
from flashdreams_pocket.train.optim import Average, Muon, orthogonalise, schedule
from flashdreams_pocket.train.train_world_model import MaskedPass, corrupt


def test_orthogonalise_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((2, 16, 48), (2, 48, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.min() > 0.5
        assert values.max() < 1.4


def test_stacked_matrices_are_treated_apart() -> None:
    torch.manual_seed(0)
    gradient = torch.randn(24, 8)
    whole, parts = torch.zeros(24, 8, requires_grad=True), torch.zeros(24, 8, requires_grad=True)
    whole.grad, parts.grad = gradient.clone(), gradient.clone()
    Muon([whole], lr=1.0).step()
    stacked = Muon([parts], lr=1.0)
    stacked.param_groups[0]["split"] = 3
    stacked.step()
    for third in parts.detach().split(8):
        assert torch.linalg.svdvals(third).min() > 0.5
    assert not torch.allclose(whole, parts, atol=1e-2)


def test_schedule_warms_up_and_decays_to_nothing() -> None:
    assert schedule(0.0) == schedule(1.0) == 0
    assert schedule(0.3) == 1
    assert 0.4 < schedule(0.8) < 0.6


def test_average_follows_the_weights() -> None:
    linear = torch.nn.Linear(2, 2)
    average = Average(linear, keep=0.5)
    with torch.no_grad():
        linear.weight.add_(1)
    for _ in range(40):
        average.update(linear)
    torch.testing.assert_close(average.state["weight"], linear.weight.detach())


def test_mask_shows_the_past_and_never_the_answer() -> None:
    frames, window = 5, 3
    masked = MaskedPass(RacerDiT(latent_channels=4, width=16, layers=1, heads=2), frames, window)
    seen = masked.mask[::FRAME_TOKENS, ::FRAME_TOKENS] == 0
    for query in range(frames):  # clean frames see clean frames, themselves included
        assert seen[query].nonzero().flatten().tolist() == list(range(max(0, query - 2), query + 1))
    for frame in range(1, frames):  # noisy frames see the clean past and themselves
        at = frames + frame - 1
        assert seen[at].nonzero().flatten().tolist() == [*range(max(0, frame - 2), frame), at]


def test_corruption_goes_from_clean_to_noise() -> None:
    clean, noise = torch.ones(3), torch.zeros(3)
    assert (corrupt(clean, torch.tensor(0.0), noise) == clean).all()
    assert (corrupt(clean, torch.tensor(1.0), noise) == noise).all()
