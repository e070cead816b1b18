"""How published files name the tensors of the transformer. Our names are the official ones."""

from __future__ import annotations

from flashdreams.io.layout import Layout

_DIFFUSERS_ATTENTION = tuple(
    (rf"^(blocks\.\d+)\.{theirs}\.", rf"\1.{ours}.")
    for theirs, ours in (("attn1", "self_attn"), ("attn2", "cross_attn"))
)
_DIFFUSERS_PROJECTIONS = tuple(
    (rf"(_attn)\.{theirs}(?=\.|$)", rf"\1.{ours}")
    for theirs, ours in (
        (r"to_([qkv])", r"\2"),
        (r"to_out\.0", "o"),
        (r"add_([kv])_proj", r"\2_img"),
        ("norm_added_k", "norm_k_img"),
    )
)
_DIFFUSERS_EMBEDDINGS = (
    (r"^condition_embedder\.(text|time)_embedder\.linear_1(?=\.|$)", r"\1_embedding.0"),
    (r"^condition_embedder\.(text|time)_embedder\.linear_2(?=\.|$)", r"\1_embedding.2"),
    (r"^condition_embedder\.time_proj(?=\.|$)", "time_projection.1"),
    (r"^condition_embedder\.image_embedder\.norm1(?=\.|$)", "img_emb.proj.0"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj(?=\.|$)", "img_emb.proj.1"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2(?=\.|$)", "img_emb.proj.3"),
    (r"^condition_embedder\.image_embedder\.norm2(?=\.|$)", "img_emb.proj.4"),
)
_DIFFUSERS_REST = (
    (r"^(blocks\.\d+)\.norm2(?=\.|$)", r"\1.norm3"),  # the only norm of a block with weights
    (r"^(blocks\.\d+)\.ffn\.net\.0\.proj(?=\.|$)", r"\1.ffn.0"),
    (r"^(blocks\.\d+)\.ffn\.net\.2(?=\.|$)", r"\1.ffn.2"),
    (r"^(blocks\.\d+)\.scale_shift_table$", r"\1.modulation"),
    (r"^scale_shift_table$", "head.modulation"),
    (r"^proj_out(?=\.|$)", "head.head"),
)

OFFICIAL = Layout("Wan 2.1's own names", marker=r"^blocks\.\d+\.self_attn\.q\.weight$")
"""Also Self-Forcing's and Causal-Forcing's, once what training wraps around them is cut off."""

DIFFUSERS = Layout(
    "diffusers' names",
    renames=(*_DIFFUSERS_ATTENTION, *_DIFFUSERS_PROJECTIONS, *_DIFFUSERS_EMBEDDINGS, *_DIFFUSERS_REST),
    only=r"^(?!.*\.norm_added_q\.)",  # in some image-to-video files, and used by no model
    marker=r"^blocks\.\d+\.attn1\.to_q\.weight$",
)

LAYOUTS = (OFFICIAL, DIFFUSERS)
