"""The engine: what makes a pipeline fast, applied from outside. Models do not know it."""
