"""The image encoder: the CLIP vision tower that image-to-video attends to."""
