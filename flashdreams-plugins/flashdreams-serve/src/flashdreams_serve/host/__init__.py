"""One model, one thread that computes with it, many sessions. Nothing here knows of the network."""
