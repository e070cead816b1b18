"""Weights on disk: int8 rows with fp16 scales."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from flashdreams.io.row_quantised import dequantise_rows, quantise_rows
from flashdreams.io.weights import load_weights
from flashdreams_pocket.train.quantise import pack


def test_a_row_is_off_by_half_a_level_at_most_where_nothing_is_clipped() -> None:
    matrix = torch.linspace(-1, 1, 64).repeat(8, 1) * torch.logspace(-3, 3, 8)[:, None]
    values, scale = quantise_rows(matrix)
    assert values.dtype == torch.int8
    assert scale.dtype == torch.float16
    error = (dequantise_rows(values, scale) - matrix).abs().amax(dim=1)
    assert (error <= 0.6 * matrix.abs().amax(dim=1) / 127).all()


def test_convolutions_and_zero_rows() -> None:
    kernel = torch.randn(6, 4, 3, 3)
    kernel[2] = 0
    back = dequantise_rows(*quantise_rows(kernel))
    assert back.shape == kernel.shape
    assert (back[2] == 0).all()
    assert (back - kernel).square().mean() < 1e-4


def test_a_part_is_read_back_under_its_own_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(16, 8)
    state = {f"dit.{k}": v for k, v in linear.state_dict().items()}
    save_file(pack(state | {"encoder.mean": torch.ones(1, 8, 1, 1)}), tmp_path / "w.safetensors")
    loaded = torch.nn.Linear(16, 8)
    load_weights(loaded, tmp_path / "w.safetensors", prefix="dit.")
    torch.testing.assert_close(loaded.bias, linear.bias)
    torch.testing.assert_close(loaded.weight, linear.weight, atol=2e-3, rtol=0)
