import configparser, os
from pathlib import Path
import pytest
from rmn_lora.errors import SettingsError
from rmn_lora.settings import SECTIONS, Settings, default_ini, load_settings, project_root

ROOT = Path(__file__).resolve().parents[1]
KEYS = [r.key for r in Settings(root=ROOT, sources={}).rows()]

@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith('RMN_')]: monkeypatch.delenv(name)
    return tmp_path

def refused(text, encoding='utf-8'):
    Path('settings.ini').write_text(text, encoding=encoding)
    with pytest.raises(SettingsError) as e: load_settings()
    return e.value

def test_the_projects_file_is_what_the_classes_say():
    "Each key of settings.ini stands with its meaning and its default; a default has one home."
    assert (ROOT/'settings.ini').read_text() == default_ini()

def test_the_example_is_in_force_as_written(project):
    defaults = {r.key: r.value for r in load_settings().rows()}
    (project/'settings.ini').write_text(default_ini())
    rows = load_settings().rows()
    assert {r.key: r.value for r in rows} == defaults and {r.source for r in rows} == {'settings.ini'}
    parser = configparser.ConfigParser()
    parser.read_string(default_ini())
    assert [f'{s}.{k}' for s in parser.sections() for k in parser[s]] == KEYS

def test_without_a_file_the_defaults_are_in_force(project):
    s = load_settings()
    assert s.root == project and s.paths.runs == project/'runs' and {r.source for r in s.rows()} == {'default'} and all(r.meaning for r in s.rows())

def test_the_environment_wins_over_the_file(project, monkeypatch):
    (project/'settings.ini').write_text('[model]\ndevice = cuda\ndtype = bf16\n')
    monkeypatch.setenv('RMN_MODEL_DEVICE', 'cpu')
    s = load_settings()
    assert (s.model.device, s.model.dtype) == ('cpu', 'bf16')
    assert s.sources == {'model.device': 'RMN_MODEL_DEVICE', 'model.dtype': 'settings.ini'}

@pytest.mark.parametrize('key', KEYS)
def test_every_key_can_be_set_in_the_environment(project, monkeypatch, key):
    section,name = key.split('.')
    value = {'model.device': 'cuda', 'model.dtype': 'nf4', 'storage.export': 'csv'}.get(key, '3' if SECTIONS[section].model_fields[name].annotation is int else 'other')
    monkeypatch.setenv(f'RMN_{key.replace(".", "_").upper()}', value)
    row = next(r for r in load_settings().rows() if r.key == key)
    assert row.value.endswith(value) and row.source.startswith('RMN_')

@pytest.mark.parametrize('key,value', [('model.device', 'gpu'), ('model.device', 'CPU'), ('model.dtype', 'fp16'), ('training.threads', '-1'), ('training.threads', 'two'),
                                       ('training.threads', '1.5'), ('composition.bank_mb', '0'), ('paths.runs', ''), ('model.base', '  ')])
def test_a_wrong_value_is_refused_naming_all_of_it(project, monkeypatch, key, value):
    section,name = key.split('.')
    e = refused(f'[{section}]\n{name} = {value}\n')
    assert e.what.startswith(f'settings.ini: [{section}] {name}') and value.strip() in e.what and e.fix
    Path('settings.ini').write_text('')
    monkeypatch.setenv(f'RMN_{section}_{name}'.upper(), value)
    with pytest.raises(SettingsError, match=f'RMN_{section}_{name}'.upper()): load_settings()

@pytest.mark.parametrize('text,hint', [('[model]\ndevise = cpu\n', '[model] device'), ('[modle]\ndevice = cpu\n', '[model] device'), ('[DEFAULT]\na = 1\n', 'training.threads'), ('[zzz]\nqqq = 1\n', 'training.threads')])
def test_an_unknown_key_is_refused_with_a_hint(project, text, hint):
    e = refused(text)
    assert 'is not a setting' in e.what and hint in e.fix

@pytest.mark.parametrize('name', ['RMN_MODEL_DEVISE', 'RMN_MODLE_DEVICE', 'RMN_TRAINING_THREAD'])
def test_a_misspelt_variable_is_refused(project, monkeypatch, name):
    monkeypatch.setenv(name, '1')
    with pytest.raises(SettingsError, match=name): load_settings()

@pytest.mark.parametrize('name', ['RMN_API_KEY', 'RMN_DEBUG', 'RMN_RUN', 'RMN_', 'XRMN_MODEL_DEVICE'])
def test_a_variable_of_another_program_is_left_alone(project, monkeypatch, name):
    monkeypatch.setenv(name, '1')
    assert load_settings().sources == {}

@pytest.mark.parametrize('text', ['device = cpu\n', '[model\ndevice = cpu\n', '[model]\ndevice\n', '[model]\ndevice = cpu\ndevice = cuda\n', '[model]\n[model]\n'])
def test_a_file_that_is_no_ini_is_refused(project, text):
    assert 'settings.ini cannot be read' in refused(text).what

def test_encodings(project):
    assert 'cannot be read' in refused('[model]\nbase = modèle\n', encoding='latin-1').what
    Path('settings.ini').write_text('[model]\nbase = modèle 100%(x)s\n', encoding='utf-8-sig')
    assert load_settings().model.base == 'modèle 100%(x)s', 'a byte-order mark is skipped, and % is only a percent sign'

def test_paths_start_at_the_root_wherever_one_stands(project, monkeypatch):
    (project/'settings.ini').write_text('[paths]\nruns = my/runs\nadapters = ~/adapters\n')
    monkeypatch.setenv('HOME', '/home/ada')
    (project/'a'/'b').mkdir(parents=True)
    monkeypatch.chdir(project/'a'/'b')
    s = load_settings()
    assert (s.root, s.paths.runs, s.paths.adapters) == (project, project/'my'/'runs', Path('/home/ada/adapters'))

def test_rmn_root_names_the_root(project, monkeypatch):
    (project/'settings.ini').touch()
    (project/'other').mkdir()
    monkeypatch.setenv('RMN_ROOT', 'other')
    assert project_root() == project/'other'
    monkeypatch.setenv('RMN_ROOT', str(project/'missing'))
    with pytest.raises(SettingsError, match='missing'): project_root()

def test_settings_cannot_be_changed(project):
    with pytest.raises(ValueError, match='frozen'): load_settings().model.device = 'cpu'

@pytest.mark.parametrize('value', ['~no-such-user/runs', 'settings.ini'])
def test_a_path_that_can_be_no_folder_is_refused(project, monkeypatch, value):
    e = refused(f'[paths]\nruns = {value}\n')
    assert e.what.startswith(f"settings.ini: [paths] runs is '{value}'") and e.fix
    Path('settings.ini').write_text('')
    monkeypatch.setenv('RMN_PATHS_RUNS', value)
    with pytest.raises(SettingsError, match='RMN_PATHS_RUNS'): load_settings()

def test_every_key_is_used():
    "A key that changes nothing is a promise that is not kept."
    code = [p.read_text() for p in [*(ROOT/'rmn_lora').rglob('*.py'), *(ROOT/'nbs'/'pipelines').glob('*.ipynb')] if p.name != 'settings.py']
    for key in KEYS: assert any(f'.{key}' in text for text in code), key
