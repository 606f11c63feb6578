"Sphinx: how the offline pages look. Everything they need is in the folder."
from docutils.utils.math.latex2mathml import tex2mathml
from docutils.nodes import SkipNode

project = 'RMN LoRA Workbench'
author = 'The RMN LoRA Workbench authors'
copyright = f'{author}, Apache-2.0'
extensions = ['myst_nb']
nb_execution_mode = 'off'
nb_ipywidgets_js = {}                     # would come from a CDN
myst_enable_extensions = ['dollarmath','deflist','colon_fence']
myst_heading_anchors = 3
suppress_warnings = ['mystnb.unknown_mime_type','myst.header']
html_theme = 'sphinx_book_theme'
html_title = 'RMN LoRA Workbench'
html_theme_options = dict(use_download_button=False, use_fullscreen_button=False, show_toc_level=2)
html_copy_source = False
html_use_index = False
html_math_renderer = 'mathml'             # browsers know MathML; MathJax would come from a CDN

def math(block):
    def visit(self, node):
        self.body.append(tex2mathml(node.astext(), as_block=block))
        raise SkipNode
    return visit, None

def setup(app): app.add_html_math_renderer('mathml', math(False), math(True))
