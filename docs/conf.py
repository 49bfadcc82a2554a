"""`make docs`: these pages and an API reference of every module, by Sphinx.

Sources are read from the repository's root, so that links between its Markdown files
hold; the pages of modules are written to build/api each time, so that none is listed.
"""

import re

import kpdiscovery

project = 'kpdiscovery'
author = 'The kpdiscovery authors'
version = release = kpdiscovery.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.apidoc',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
]
root_doc = 'docs/index'
include_patterns = ['*.md', 'docs/**', 'launch/*.md', 'build/api/**']
exclude_patterns = ['.*', 'build/docs', 'build/api/modules.rst', 'runs']
html_theme = 'alabaster'
html_theme_options = {'page_width': '1100px'}
html_title = f'kpdiscovery {release}'
html_extra_path = ['html']  # build/docs/index.html leads to the first page.

autodoc_mock_imports = ['torch']  # Of benchmarks; the extra `bench` has it.
apidoc_modules = [{'path': '../kpdiscovery', 'destination': 'build/api'}]
apidoc_separate_modules = True
apidoc_module_first = True
apidoc_automodule_options = {'members', 'show-inheritance'}
autodoc_default_options = {'ignore-module-all': True}  # Once, where it is written.
autodoc_member_order = 'bysource'
default_role = 'code'  # Our docstrings write `code` as Markdown does.
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_heading_anchors = 3
suppress_warnings = ['ref.python']  # `labels` is an attribute of many.


def setup(app):
    app.connect('autodoc-process-docstring', _module_docstring, priority=400)
    app.connect('autodoc-process-docstring', _link_references)
    app.connect('autodoc-skip-member', _skip_fields)


def _module_docstring(app, what, name, module, options, lines):
    """Of modules: indented blocks as they stand; of packages: the names they export."""
    if what != 'module':
        return
    text = re.sub(r'(?m)^(\S.*)\n+(?= {4}\S)', r'\1\n\n::\n\n', '\n'.join(lines))
    exports = ', '.join(f'`{n}`' for n in getattr(module, '__all__', ()))
    lines[:] = [*text.split('\n'), *([f'Exports {exports}.', ''] if exports else [])]


def _link_references(app, what, name, obj, options, lines):
    """`[key]` leads to the list of papers."""
    key = re.compile(r'\[([a-z]+(?:\d{4}[a-z]*|-thesis))\]')
    lines[:] = [key.sub(r':doc:`[\1] </docs/references>`', line) for line in lines]


def _skip_fields(app, what, name, obj, skip, options):
    """Fields of named tuples stand in the signature."""
    return skip or type(obj).__name__ == '_tuplegetter'
