"""How fast a slug is, measured: what ``flashdreams bench`` and the scripts of benchmarks/ are made of."""
