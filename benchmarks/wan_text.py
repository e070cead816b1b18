"""Time of Wan's text encoder beside plain transformers, on the same weights.

    python benchmarks/wan_text.py [--layers 4] [--dtype bfloat16] [--threads 1] [--rounds 5]

UMT5-XXL with fewer layers (all 24 are alike) and random weights; one prompt at a time, cleaned, tokenised
and embedded, without the cache on disk. Transformers runs twice: on the whole padded prompt with its mask,
as Wan's and diffusers' pipelines call it, and on the prompt's own tokens alone. All three take turns, round
by round, on the same tensors. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import time

import torch
import transformers

from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.text.umt5 import build_umt5

SENTENCE = "A red fox trots along a snowy ridge at sunrise, its breath steaming in the cold air. "
LENGTHS = (32, 128, 512)


def prompt_of(tokens):
    """A prompt of so many tokens, its end mark included: a byte is a token here."""
    text = SENTENCE * (1 + tokens // len(SENTENCE))
    return text[: tokens - 1].strip().ljust(tokens - 1, ".")


class Encoders:
    """Our encoder, and transformers' on the very same tensors."""

    def __init__(self, layers, dtype):
        config = WanTextEncoderConfig(layers=layers, vocabulary=384, keep="keep", cache_embeddings=False)
        self.config, self.dtype = config, getattr(torch, dtype)
        self.ours = config.setup().to(self.dtype)
        with torch.device("meta"):
            self.theirs = build_umt5(config).to(self.dtype).eval().requires_grad_(False)
        state = self.ours.umt5.use(lambda umt5: umt5.state_dict(), self.dtype, torch.device("cpu"))
        self.theirs.load_state_dict(state, assign=True)
        self.tokenizer = transformers.ByT5Tokenizer()

    def padded(self, prompt):
        """Transformers, as Wan calls it."""
        batch = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=self.config.tokens,
            truncation=True,
            return_tensors="pt",
        )
        rows = self.theirs(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        return rows * batch.attention_mask[..., None]

    def unpadded(self, prompt):
        """Transformers, on the prompt's own tokens."""
        batch = self.tokenizer([prompt], return_tensors="pt")
        return self.theirs(batch.input_ids).last_hidden_state


def seconds(function, *arguments):
    """Seconds of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


@torch.no_grad()
def measure(encoders, tokens, rounds):
    """Medians over rounds in which all take turns, and of the ratios within a round."""
    prompt = prompt_of(tokens)
    calls = {
        "ours": lambda: encoders.ours([prompt]),
        "padded": lambda: encoders.padded(prompt),
        "unpadded": lambda: encoders.unpadded(prompt),
    }
    difference = (calls["ours"]() - calls["padded"]()).abs().max().item()
    calls["unpadded"]()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    ratios = {
        f"ratio_to_{other}": statistics.median(
            a / b for a, b in zip(times["ours"], times[other], strict=True)
        )
        for other in ("padded", "unpadded")
    }
    medians = {f"{name}_ms": 1000 * statistics.median(each) for name, each in times.items()}
    return {"tokens": tokens, **medians, **ratios, "max_difference": difference}


def main():
    """Measure, print a table, and end with JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoders = Encoders(options.layers, options.dtype)
    rows = [measure(encoders, tokens, options.rounds) for tokens in LENGTHS]
    columns = ("tokens", "ours_ms", "padded_ms", "ratio_to_padded", "unpadded_ms", "ratio_to_unpadded")
    print(*columns)
    for row in rows:
        print(*(f"{row[name]:>{len(name)}.{2 if 'ratio' in name else 0}f}" for name in columns))
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps({"machine": platform.machine(), **vars(options), **versions, "results": rows}))


if __name__ == "__main__":
    main()
