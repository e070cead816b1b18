"""What authors of plugins test with: a toy model, and checks that a pipeline keeps its promises."""
