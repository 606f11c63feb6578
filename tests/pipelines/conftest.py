import nbformat, pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

@pytest.fixture
def project(tmp_path, monkeypatch):
    "An empty project that the test stands in."
    (tmp_path/'settings.ini').touch()
    monkeypatch.chdir(tmp_path)
    for name in ('RMN_ROOT', 'RMN_RUN'): monkeypatch.delenv(name, raising=False)
    return tmp_path

@pytest.fixture
def notebook(project):
    "Makes a pipeline: a title, a parameters cell, and cells with these sources."
    def make(name, *sources, parameters='', tags=('parameters',), checks=''):
        cells = [new_markdown_cell(f'# {name}\n\n> What {name} does.')]
        if parameters is not None: cells.append(new_code_cell(parameters, metadata={'tags': list(tags)}))
        if checks: cells.append(new_code_cell(checks, metadata={'tags': ['checks']}))
        cells += [new_markdown_cell(s) if s.startswith('## ') else new_code_cell(s) for s in sources]
        path = project/f'{name}.ipynb'
        nbformat.write(new_notebook(cells=cells), path)
        return path
    return make
