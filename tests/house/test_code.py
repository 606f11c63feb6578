"The code as such: exported from its notebooks, clean, and typed where it is public."
import ast, re, subprocess, sys, tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

def call(*command, cwd:Path=ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([str(BIN/command[0]), *map(str, command[1:])], cwd=cwd, capture_output=True, text=True)

def contents(folder:Path) -> dict[str,bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file() and '__pycache__' not in p.parts and '.ipynb_checkpoints' not in p.parts}

def changed(before:dict, after:dict) -> list[str]: return sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))

@pytest.mark.parametrize('command', ['nbdev-export', 'nbdev-clean'])
def test_changes_nothing(project, command):
    before = contents(project)
    done = call(command, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed(before, contents(project)) == []

def test_an_export_over_an_edited_module_is_noticed(project):
    before = contents(project)
    (project/'rmn_lora/errors.py').write_text('# edited by hand\n')
    call('nbdev-export', cwd=project)
    assert changed(before, contents(project)) == [], 'an export writes the module again as it was'

def test_no_merge_was_left_half_done(project):
    marks = re.compile(rb'^(<{7}|>{7}) ', re.M)
    assert [name for name,text in contents(project).items() if marks.search(text)] == []

def test_ruff():
    done = call('ruff', 'check', '--no-cache', '--output-format=concise')
    assert done.returncode == 0, done.stdout + done.stderr

def test_mypy():
    done = call('mypy')
    assert done.returncode == 0, done.stdout + done.stderr

def test_mypy_notices_a_wrong_call(project):
    with open(project/'rmn_lora/errors.py', 'a') as f: f.write('\ndef wrong(x:int) -> str: return WorkbenchError(x, y=1).fix + x.nothing\n')
    done = call('mypy', '--config-file', project/'pyproject.toml', '-p', 'rmn_lora.errors', cwd=project)
    assert {'[arg-type]','[call-arg]','[attr-defined]'} <= set(done.stdout.split())

def public(tree:ast.Module) -> set[str]:
    return {n for node in tree.body if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == '__all__' for t in node.targets) for n in ast.literal_eval(node.value)}

def gives(function:ast.FunctionDef|ast.AsyncFunctionDef) -> bool:
    "Does it return or yield a value?"
    inner = {n for f in ast.walk(function) if f is not function and isinstance(f, (ast.FunctionDef,ast.AsyncFunctionDef,ast.Lambda,ast.ClassDef)) for n in ast.walk(f)}
    return any(isinstance(n, (ast.Return,ast.Yield,ast.YieldFrom)) and n.value is not None for n in ast.walk(function) if n not in inner)

def incomplete(source:str) -> Iterator[str]:
    "Public functions and methods, in which a parameter, or the value that it gives, has no type."
    tree = ast.parse(source)
    names = public(tree)
    for node in tree.body:
        if getattr(node, 'name', None) not in names: continue
        functions = [(node.name, node)] if not isinstance(node, ast.ClassDef) else [
            (f'{node.name}.{f.name}', f) for f in node.body if isinstance(f, (ast.FunctionDef,ast.AsyncFunctionDef)) and (f.name == '__init__' or not f.name.startswith('_'))]
        for name,f in functions:
            a = f.args
            given = [x for x in [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg] if x is not None]
            if isinstance(node, ast.ClassDef) and not any(getattr(d, 'id', '') == 'staticmethod' for d in f.decorator_list): given = given[1:]
            yield from (f'{name}: {x.arg} has no type' for x in given if x.annotation is None)
            if f.returns is None and gives(f): yield f'{name}: what it returns has no type'

def test_what_is_public_has_types():
    found = {str(p.relative_to(ROOT)): list(incomplete(p.read_text())) for p in sorted((ROOT/'rmn_lora').rglob('*.py')) if 'assets' not in p.parts}
    assert {k: v for k,v in found.items() if v} == {}

def test_missing_types_are_noticed():
    source = "__all__ = ['f','C','g']\ndef f(a, *b, c:int=1): return a\nclass C:\n    def __init__(self, x): self.x = x\n    def _p(self, y): return y\n    def q(self): yield 1\ndef g(a:int): print(a)\ndef h(z): return z"
    assert list(incomplete(source)) == ['f: a has no type', 'f: b has no type', 'f: what it returns has no type', 'C.__init__: x has no type', 'C.q: what it returns has no type']

def test_types_are_shipped(): assert (ROOT/'rmn_lora/py.typed').exists()

# --- what it imports is asked for in pyproject.toml ---

EXTRA = {'adapters': 'lora', 'training': 'lora', 'serving': 'serve'}   # what a subpackage may use besides the core's dependencies

def third_party(source:str) -> set[str]:
    "The packages that a module imports, wherever in it, but for Python's own and its own."
    nodes = list(ast.walk(ast.parse(source)))
    names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names] + [n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return {n.partition('.')[0] for n in names} - sys.stdlib_module_names - {'rmn_lora'}

def undeclared(files:dict[str,str], project:dict) -> list[str]:
    "The imports, for each file of the package, that neither the core's dependencies nor its subpackage's extra ask for."
    def names(requirements): return {re.sub('[-_.]+', '-', re.match(r'[\w.-]+', r)[0].lower()) for r in requirements}
    distributions,found = packages_distributions(),[]
    for path,source in files.items():
        declared = names(project['dependencies']) | names(project['optional-dependencies'].get(EXTRA.get(Path(path).parts[0]), []))
        found += [f'{path}: {n}' for n in sorted(third_party(source)) if not names(distributions.get(n, [])) & declared]
    return found

def test_every_import_is_declared():
    files = {str(p.relative_to(ROOT/'rmn_lora')): p.read_text() for p in sorted((ROOT/'rmn_lora').rglob('*.py')) if 'assets' not in p.parts}
    assert undeclared(files, tomllib.loads((ROOT/'pyproject.toml').read_text())['project']) == []

def test_an_undeclared_import_is_noticed():
    project = {'dependencies': ['PyYAML>=6'], 'optional-dependencies': {'lora': ['torch==2']}}
    source = 'import json, yaml, numpy.linalg\nfrom . import x\ndef f():\n    from torch.nn import Linear'
    assert undeclared({'a.py': source, 'training/b.py': source}, project) == ['a.py: numpy', 'a.py: torch', 'training/b.py: numpy']

def test_every_file_is_read_and_written_in_utf8():
    "Whatever the machine's locale: a call that names no encoding takes that of the locale."
    import ast
    from pathlib import Path
    def bare(call): return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ('read_text', 'write_text') and not any(k.arg == 'encoding' for k in call.keywords) and not (call.func.attr == 'read_text' and call.args)
    root = Path(__file__).parents[2]/'rmn_lora'
    assert not [f'{p.name}:{n.lineno}' for p in root.rglob('*.py') for n in ast.walk(ast.parse(p.read_text(encoding='utf-8'))) if bare(n)]
