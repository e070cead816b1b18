"""Settings of the site, for Sphinx. Built by ``nox -s docs`` into docs/_build/html, as static files."""

from importlib import metadata

project = "FlashDreams"
release = metadata.version("flashdreams-core")
copyright = "The FlashDreams authors, Apache-2.0"

extensions = ["myst_parser"]
exclude_patterns = ["_build", "examples/*/[!R]*"]
myst_heading_anchors = 3
smartquotes = False
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = f"FlashDreams {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
