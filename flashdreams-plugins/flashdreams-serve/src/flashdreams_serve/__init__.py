"""Dream live: any slug in a browser, for several people at once."""
