"""Training of pocket-racer, from the true world to the released weights. The product needs none of it."""
