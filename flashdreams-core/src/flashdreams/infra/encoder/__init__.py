"""Encoders: what turns an input into something the transformer is steered by."""
