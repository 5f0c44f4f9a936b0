"""Sphinx settings."""

project = "pancyte"
author = "the pancyte authors"
copyright = "2026, the pancyte authors"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = False
# what a function returns is written as prose, where napoleon would look for a type, and several
# attributes may share an entry
napoleon_custom_sections = ["Returns", "Yields", ("Attributes", "params_style")]

html_theme = "sphinx_book_theme"
html_title = "pancyte"
html_theme_options = {"show_toc_level": 2, "use_download_button": False}
