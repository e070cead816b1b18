"""The context encoder: prompts and first frame as the tensors that the transformer attends to."""
