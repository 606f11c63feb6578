"The floors: a module imports only from notebooks with a lower number, and floors 0 to 2 do without torch."
import ast, json, re, subprocess, sys
from pathlib import Path
from typing import NamedTuple
import pytest

ROOT = Path(__file__).resolve().parents[1]
TORCH = {'torch','transformers','peft','trl','accelerate','bitsandbytes','datasets','safetensors','tokenizers'}
LATE = TORCH | {'altair','statsmodels','mlflow','pandas','matplotlib','polars','scipy','numpy','fastapi','sqlalchemy','ray','IPython','papermill'}

class Floor(NamedTuple):
    "Where a module stands: its notebook's number (with the letter of a split one) and that notebook's name."
    number:int; letter:str; notebook:str

def floors(root:Path) -> dict[str,Floor]:
    "Each module that a notebook in nbs/ exports, and where it stands."
    found: dict[str,Floor] = {}
    for path in sorted((root/'nbs').glob('*.ipynb')):
        source = '\n'.join(''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code')
        if not (exported := re.search(r'^#\|\s*default_exp\s+(\S+)', source, re.M)): continue
        number = re.match(r'(\d\d)([a-z]?)_', path.name)
        assert number, f'{path.name} exports {exported[1]} and has no number'
        module = f'rmn_lora.{exported[1]}'
        assert module not in found, f'{path.name} and {found[module].notebook} both export {module}'
        found[module] = Floor(int(number[1]), number[2], path.name)
    return found

def imports(path:Path, module:str) -> set[str]:
    "All modules that a file imports, wherever in it, with what is taken from them; relative imports resolved."
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import): found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = module.split('.')[:-node.level] if node.level else []
            base = '.'.join([*parent, *filter(None, [node.module])])
            found |= {base} | {f'{base}.{a.name}' for a in node.names}
    return found

def module_file(root:Path, module:str) -> Path: return root/(module.replace('.', '/') + '.py')

def broken(root:Path) -> list[str]:
    "What breaks the rule: an import from the same or a higher floor, or an exported module that is not there."
    at,found = floors(root),[]
    for module,floor in at.items():
        if not module_file(root, module).exists(): found.append(f'{floor.notebook} was not exported'); continue
        for used in sorted(imports(module_file(root, module), module)):
            if used in at and at[used][:2] >= floor[:2]: found.append(f'{floor.notebook} imports {used} from {at[used].notebook}')
    return found

def loads(modules:list[str], root:Path=ROOT) -> set[str]:
    "The packages that a fresh Python has loaded after importing these modules."
    code = f'import sys\nfor m in {modules}: __import__(m)\nprint(*{{m.partition(".")[0] for m in sys.modules}})'
    return set(subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True, check=True).stdout.split())

def test_modules_import_from_lower_floors_only(): assert broken(ROOT) == []

def test_every_module_has_a_notebook():
    written_by_hand = {'rmn_lora._modidx'}
    there = {'.'.join(p.relative_to(ROOT).with_suffix('').parts) for p in (ROOT/'rmn_lora').rglob('*.py') if p.name != '__init__.py' and 'assets' not in p.parts}
    assert there - written_by_hand == set(floors(ROOT))

def test_lower_floors_do_without_torch():
    low = [m for m,f in floors(ROOT).items() if f.number <= 26]
    assert low
    assert loads(low) & TORCH == set()

def test_importing_the_package_loads_nothing_heavy(): assert loads(['rmn_lora']) & LATE == set()

# --- would these tests notice? ---

def tree(root:Path, **sources:str) -> Path:
    "A small project: notebook name (dots as two underscores) and the module's source."
    for name,source in sources.items():
        module = name.partition('_')[2].replace('__', '.')
        path = module_file(root, f'rmn_lora.{module}')
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.relative_to(root).parents[:-1]: (root/folder/'__init__.py').touch()
        path.write_text(source)
        (root/'nbs').mkdir(exist_ok=True)
        cells = [dict(cell_type='code', source=[f'#| default_exp {module}\n'])]
        (root/'nbs'/f"{name.partition('_')[0][1:]}_{module}.ipynb").write_text(json.dumps(dict(cells=cells)))
    return root

@pytest.mark.parametrize('statement', [
    'from rmn_lora.upper.thing import x', 'import rmn_lora.upper.thing', 'from rmn_lora.upper import thing', 'from ..upper.thing import x',
    'from ..upper import thing', 'def f():\n    from rmn_lora.upper.thing import x', 'if True: import rmn_lora.upper.thing as t'])
def test_an_import_from_above_is_noticed(tmp_path, statement):
    tree(tmp_path, n10_lower__part=statement, n20_upper__thing='x = 1')
    assert broken(tmp_path) == ['10_lower.part.ipynb imports rmn_lora.upper.thing from 20_upper.thing.ipynb']

def test_a_split_notebook_counts_by_its_letter(tmp_path):
    tree(tmp_path, n40_a__first='from rmn_lora.a.second import x', n40b_a__second='from rmn_lora.a.first import y')
    assert broken(tmp_path) == ['40_a.first.ipynb imports rmn_lora.a.second from 40b_a.second.ipynb']

def test_two_notebooks_of_one_number_do_not_import_each_other(tmp_path):
    tree(tmp_path, n40_a__first='x = 1', n40_a__second='from rmn_lora.a.first import x')
    assert broken(tmp_path) == ['40_a.second.ipynb imports rmn_lora.a.first from 40_a.first.ipynb']

def test_imports_from_below_and_from_elsewhere_are_fine(tmp_path):
    tree(tmp_path, n10_lower__part='import json\nx = 1', n20_upper__thing='from rmn_lora.lower import part\nfrom ..lower.part import x\nimport rmn_lora')
    assert broken(tmp_path) == []

def test_a_missing_export_is_noticed(tmp_path):
    tree(tmp_path, n10_lower__part='')
    module_file(tmp_path, 'rmn_lora.lower.part').unlink()
    assert broken(tmp_path) == ['10_lower.part.ipynb was not exported']

def test_torch_is_noticed_through_another_module(tmp_path):
    tree(tmp_path, n10_lower__part='from rmn_lora.lower import other', n11_lower__other='import torch')
    (tmp_path/'torch.py').write_text('')
    assert 'torch' in loads(['rmn_lora.lower.part'], tmp_path)
