"""The text encoder: UMT5 and its tokenizer, loaded when a prompt is new and released after it."""
