"""pocket-racer by night."""
