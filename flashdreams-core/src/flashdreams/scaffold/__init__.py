"""A new plugin, written from templates: what ``flashdreams new-plugin`` makes."""
