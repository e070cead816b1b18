"""A world model that fits in a wheel: drive a dreamt race car on one CPU core."""
