"training.dataset and training.rows: rows of reports against the harmonizer's tables, import and export, splits, and each fault by its row."
import csv, gzip, io, json, re
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from rmn_lora.errors import DatasetError, ReportError
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.schema import ATTRIBUTED, DELIVERY
from rmn_lora.rmis.world import SAMPLES, World
from rmn_lora.training.cards import FIELDS, ColumnRule, SchemaCard, Tool, ToolsCard
from rmn_lora.training.corpus import HELD_OUT_BRANDS, HELD_OUT_NETWORKS, HELD_OUT_TOOLS
from rmn_lora.training.dataset import (INVENTED, card_rows, harmonized_records, load_parts, load_rows, report_rows, report_schema, retailer_rows, stack_rows,
    stackable_rows, task_rows, world_records)
from rmn_lora.training.rows import KINDS, check_rows, export_jsonl, import_jsonl, require_good, row, row_digest, split

DATA = Path(__file__).resolve().parents[2]/'data'
REPORTS = {name: DATA/f'{name}{suffix}' for name, suffix in SAMPLES.items()}

def question(r): return r['prompt'][-1]['content']
def said(r): return r['completion'][-1]['content']
def parsed(r): return json.loads(said(r), parse_float=Decimal, parse_int=Decimal)
def fatal(problems): return [(p.line, p.what) for p in problems if p.fatal]

# --- reports

def cells_by_line(path):
    "Line (or record) → column → text, without any code of ours."
    text = (gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()).decode()
    if '.json' in path.name:
        items = json.loads(text, parse_float=str, parse_int=str) if text.startswith('[') else [json.loads(x, parse_float=str, parse_int=str) for x in text.splitlines()]
        return {i: {k: v or '' for k, v in item.items()} for i, item in enumerate(items, 1)}
    reader = csv.reader(io.StringIO(text), delimiter='\t' if path.suffix == '.tsv' else ',')
    names = next(reader)
    return {line: dict(zip(names, cells)) for line, cells in enumerate(reader, 2)}

def same_cell(shown, cell, path):
    "Text is shown as it is; a JSON number may lose the zeros at its end, which are not part of it."
    if shown == cell or '.json' not in path.name: return shown == cell
    return Decimal(shown) == Decimal(cell)

def agree_with_tables(path, folder):
    "Every row of a report shows its line and answers with the canonical tables' values, to the cent."
    run = DataHarmonizer().harmonize([path], folder, quiet=True)
    card, rows = report_rows(path)
    delivery = run.delivery.sort('source_row').collect()
    total = run.attributed.filter(pl.col('product_match').is_in(['total', 'unknown']) & ~pl.col('ntb').fill_null(False) & (pl.col('channel') != 'in_store'))
    figures = {}
    for line, metric, window, value in total.select('source_row', 'metric', 'window_days', 'value').collect().iter_rows():
        figures.setdefault((line, f'{metric}_{window}d'), set()).add(value)
    assert len(rows) == len(delivery) == run.rows_out and len(rows) + run.quarantined == run.rows_in > 0
    cells = cells_by_line(path)
    for r, known in zip(rows, delivery.iter_rows(named=True)):
        line, got = known['source_row'], parsed(r)
        head, *shown = question(r).split('\n')
        assert head == 'Map to RMIS' and [x.split('=', 1)[0] for x in shown] == [c.name for c in card.columns]
        for name, cell in (x.split('=', 1) for x in shown): assert same_cell(cell, cells[line].get(name, ''), path), (line, name)
        assert list(got) == list(card.fields)
        for f, v in got.items():
            cell = cells[line].get(next(c.name for c in card.columns if c.field == f), '')
            want = known[f] if f in known else Decimal(cell) if cell else None
            assert v == (str(want) if f == 'event_date' else want), (line, f)
            assert f in known or v is None or v in figures[line, f]
        assert r['kind'] == 'retailer' and r['entity'] == (known['campaign_id'] or known['retailer_item_id'] or known['gtin14'] or '')
    plain = [f for f in card.fields if all(len(v) == 1 for (_, g), v in figures.items() if g == f)] # others stand in several columns, of several channels or bases
    for got, record in zip(map(parsed, rows), harmonized_records(run), strict=True):
        for f, v in ((f, got[f]) for f in plain): assert v == (None if f not in record else Decimal(record[f]) if isinstance(v, Decimal) else record[f]), f
    return run, card, rows

FIGURES = [n for n in SAMPLES if n != 'topsort_events']

@pytest.mark.parametrize('network', FIGURES)
def test_rows_of_a_report_agree_with_the_tables(network, tmp_path):
    run, card, rows = agree_with_tables(REPORTS[network], tmp_path/'out')
    assert run.quarantined > 0 and len(card.columns) >= (4 if network == 'epsilon_citrusad' else 6) # whose windows nobody has given
    assert {'event_date', 'spend', 'impressions', 'clicks'} <= set(card.fields)
    assert card == report_schema(REPORTS[network], network)

@pytest.mark.parametrize('network', FIGURES)
def test_rows_of_a_dirty_report_agree_too(network, tmp_path):
    World(seed=77).write_report(network, path := tmp_path/f'x{SAMPLES[network]}', 60, .5)
    run, _, _ = agree_with_tables(path, tmp_path/'out')
    assert run.quarantined > 3 and run.repaired > 3

def target(tmp_path, *lines):
    path = tmp_path/'t.tsv'
    path.write_bytes(b'\n'.join([b'Date\tAdvertiser ID\tTCIN\tImpressions\tClicks\tSpend\tOrders\tSales', *(x if isinstance(x, bytes) else x.encode() for x in lines)]) + b'\n')
    return path

def test_money_finer_than_a_cent_is_not_rounded(tmp_path):
    _, rows = report_rows(target(tmp_path, '2026-08-30\t1\t870\t10\t1\t0.125\t1\t3', '2026-08-30\t1\t871\t10\t1\t1200\t10\t3.5'))
    assert '"spend":0.125' in said(rows[0]) and '"spend":1200.00' in said(rows[1]) and '"orders_14d":10,' in said(rows[1]) and '"sales_14d":3.50' in said(rows[1])

def test_a_report_that_has_to_be_salvaged_keeps_its_lines(tmp_path):
    good = [f'2026-08-{d:02d}\t1\t{d}\t{d}0\t{d}\t{d}.50\t1\t3' for d in range(1, 9)]
    _, rows = report_rows(target(tmp_path, *good[:3], '2026-08-30\t1\t"99\t1\t1\t1\t1\t1', *good[3:]))
    assert [(parsed(r)['retailer_item_id'], parsed(r)['spend']) for r in rows] == [(str(d), Decimal(d) + Decimal('.50')) for d in range(1, 9)]
    assert all(f'TCIN={parsed(r)["retailer_item_id"]}\n' in question(r) + '\n' for r in rows)

def test_a_value_that_its_line_does_not_show_is_not_asked_for(tmp_path):
    items = [dict(date='2026-08-01', campaignId=str(i), adGroupId='1', advertisedAsin='B01', impressions=5, clicks=1, cost=c, spend=s, sales14d=1, purchases14d=1) for i, (c, s) in enumerate([(2, 2), (None, 3)])]
    (path := tmp_path/'a.json').write_text(json.dumps(items))
    card, rows = report_rows(path)
    assert [c.name for c in card.columns if c.field == 'spend'] == ['cost'] # its alias `spend` alone has a value in the second row
    assert [(r['entity'], parsed(r)['spend']) for r in rows] == [('0', Decimal('2.00'))]

def test_an_unknown_report_is_refused(tmp_path):
    with pytest.raises(ReportError, match='No column is a figure'): report_rows(REPORTS['topsort_events'])
    (path := tmp_path/'x.csv').write_text('a,b\n1,2\n')
    with pytest.raises(ReportError): report_rows(path)

# --- rows of a task, from tables

def tables(*rows, **about):
    "A run with one report of these rows: the sales of each, by their basis; and a second report with the first row again."
    lines = [('r', i, sold) for i, sold in enumerate(rows, 2)] + [('s', 2, rows[0])]
    delivery = pl.DataFrame([dict(source_report=r, source_row=i, spend=Decimal('12.5'), clicks=3, **(about or dict(campaign_id='c7'))) for r, i, _ in lines], schema_overrides=dict(DELIVERY))
    sold = [dict(source_report=r, source_row=i, metric='sales', value=Decimal(v), window_days=14, basis=b, product_match='total', channel='unknown') for r, i, sold in lines for b, v in sold.items()]
    return SimpleNamespace(delivery=delivery.lazy(), attributed=pl.DataFrame(sold, schema=ATTRIBUTED).lazy())

def test_a_figure_with_two_meanings_is_none():
    known = dict(campaign_id='c7', clicks='3', spend='12.50')
    assert harmonized_records(tables(dict(click=8))) == [known | dict(sales_14d='8.00')]*2
    assert harmonized_records(tables(dict(click=8, view=9))) == [known]*2

def test_nor_is_it_in_rows_that_have_but_one_of_them():
    known = dict(campaign_id='c7', clicks='3', spend='12.50')
    assert harmonized_records(tables(dict(click=8), dict(view=9), {})) == [known]*3 + [known | dict(sales_14d='8.00')] # the second report has one meaning

def test_rows_without_an_id_are_not_lost():
    tools = ToolsCard((Tool('do it', 'do', ('spend',)),))
    records = harmonized_records(tables({}, gtin14='00012345678905'))
    assert records == [dict(clicks='3', spend='12.50')]*2 and [r['entity'] for r in task_rows(tools, 9, records=records)] == ['', '']

def test_task_rows_are_drawn_from_all_records():
    records = [dict(campaign_id=f'c{i}', spend='1.00') for i in range(1000)]
    tools = ToolsCard((Tool('do it', 'do', ('campaign_id', 'spend')),))
    drawn = [r['entity'] for r in task_rows(tools, 100, records=records)]
    assert len(set(drawn)) == 100 and sum(int(e[1:]) >= 500 for e in drawn) > 30
    assert drawn == [r['entity'] for r in task_rows(tools, 100, records=records)] != [r['entity'] for r in task_rows(tools, 100, 1, records=records)]
    assert task_rows(tools, 0, records=records) == []

def test_tasks_are_asked_of_harmonized_rows(answer_by_text):
    r, _ = task_rows(HELD_OUT_TOOLS, 5, records=harmonized_records(tables(dict(click=8, view=9))))
    assert parsed(r) == dict(tool='trim_outlay', args=dict(campaign_id='c7', spend=Decimal('12.5'))) and r['entity'] == 'c7'
    assert said(r) == answer_by_text([HELD_OUT_TOOLS], question(r))
    with pytest.raises(DatasetError, match='campaign_id'): task_rows(ToolsCard((Tool('do it', 'do', ('product',)),)), 5, records=harmonized_records(tables({})))

# --- invented rows

@pytest.mark.parametrize('name', INVENTED)
@pytest.mark.parametrize('shown', [False, True])
def test_invented_rows_follow_from_their_card(name, shown, answer_by_text):
    rows = card_rows(INVENTED[name], 40, seed=3, shown=shown)
    assert rows == card_rows(INVENTED[name], 40, seed=3, shown=shown) != card_rows(INVENTED[name], 40, seed=4, shown=shown)
    for r in rows:
        assert said(r) == answer_by_text([INVENTED[name]], question(r))
        assert [m['content'] for m in r['prompt'][:-1]] == ([str(INVENTED[name])] if shown else [])
    assert {r['kind'] for r in rows} == {'brand' if name in HELD_OUT_BRANDS else 'task' if name == 'tools' else 'retailer'}

def test_records_hold_every_field_and_windows_grow():
    for r in world_records(50, seed=2):
        assert set(r) == set(FIELDS) and all(r.values())
        for m in ('orders', 'units', 'sales'): assert (v := [Decimal(r[f'{m}_{w}d']) for w in (1, 3, 7, 14, 30)]) == sorted(v)

def test_any_field_can_stand_on_a_card(answer_by_text):
    card = SchemaCard(tuple(ColumnRule(f'n{i}', f) for i, f in enumerate(FIELDS)))
    assert all(said(r) == answer_by_text([card], question(r)) for r in retailer_rows(card, 5))
    tools = ToolsCard((Tool('do it', 'do', ('product', 'units_1d')), Tool('or not', 'not_do', ('spend',))))
    assert all(said(r) == answer_by_text([tools], question(r)) for r in task_rows(tools, 9))

@pytest.mark.parametrize('network', HELD_OUT_NETWORKS)
def test_stack_rows_need_both_cards(network, answer_by_text):
    schema = HELD_OUT_NETWORKS[network]
    odd = {c.field for c in schema.columns if c.op != 'plain'}
    for hard in (False, True):
        rows = stack_rows(schema, HELD_OUT_TOOLS, 60, seed=1, hard=hard)
        assert all(said(r) == answer_by_text([schema, HELD_OUT_TOOLS], question(r)) and r['kind'] == 'stack' for r in rows)
        if hard and odd: assert all(odd & set(parsed(r)['args']) for r in rows)

def test_tools_that_a_network_cannot_serve_are_left_out():
    schema = SchemaCard((ColumnRule('a', 'campaign_id'), ColumnRule('b', 'spend')))
    assert {parsed(r)['tool'] for r in stack_rows(schema, HELD_OUT_TOOLS, 30)} == {'trim_outlay'}
    with pytest.raises(DatasetError, match='campaign_id'): stack_rows(SchemaCard(schema.columns[:1]), HELD_OUT_TOOLS, 3)

def test_what_a_prompt_cannot_tell_is_marked(tmp_path):
    rows = stackable_rows(HELD_OUT_TOOLS, 300, seed=5)
    blind = [r for r in rows if r['kind'] == 'stack' and len(r['prompt']) == 1]
    assert len(blind) > 20 and [r for r in rows if 'unknown' in r] == blind
    for r in blind:
        told = [said(r)[start:end] for start, end in r['unknown']]
        assert [json.loads(t, parse_float=Decimal, parse_int=Decimal) for t in told] == list(parsed(r)['args'].values())
    export_jsonl(rows, tmp_path/'r.jsonl')
    assert import_jsonl(tmp_path/'r.jsonl') == rows and not check_rows(blind[:3])
    assert not [r for r in stackable_rows(HELD_OUT_NETWORKS['odd'], 60) if 'unknown' in r]

@pytest.mark.parametrize('card', [HELD_OUT_NETWORKS['opaque'], HELD_OUT_TOOLS, ToolsCard((Tool('do it', 'do', ('product', 'units_1d')),))], ids=['schema', 'tools', 'other tools'])
def test_stackable_rows_follow_from_the_card_and_what_is_shown(card, answer_by_text):
    rows = stackable_rows(card, 60, seed=5)
    both, alone = ([r for r in rows if r['kind'] == 'stack' and len(r['prompt']) == n] for n in (2, 1))
    for r in rows: assert r in alone or said(r) == answer_by_text([card, *(m['content'] for m in r['prompt'][:-1])], question(r))
    calls = {t.objective: (t.name, list(t.args)) for t in getattr(card, 'tools', ())}
    for r in alone: assert (parsed(r)['tool'], list(parsed(r)['args'])) == calls[question(r).rpartition('objective=')[2]]
    assert 2 <= len(alone) <= 14 if isinstance(card, ToolsCard) else not alone
    usual = card_rows(card, 20, 5)
    assert len(rows) == 60 and sum(r in rows for r in usual) == 20 and 12 <= len(both + alone) <= 28
    assert isinstance(card, SchemaCard) or all(len(r['prompt']) == 1 for r in rows if r['kind'] != 'stack')
    assert {r['prompt'][0]['content'].split('\n')[0] for r in rows if len(r['prompt']) == 2} == {'Tools' if isinstance(card, SchemaCard) else 'Schema'}
    shown = {tuple(line.split('=')[0] for line in question(r).split('\n')[1:]) for r in rows}
    assert len(shown) > 30 and len({names[0] for names in shown}) > 4

# --- JSONL

text = st.text(st.characters(exclude_categories=['Cs']), min_size=1, max_size=20)
rows_strategy = st.lists(st.builds(row, text, text, st.sampled_from(KINDS), text, st.lists(text, max_size=2)), min_size=1, max_size=5)

@given(rows_strategy)
def test_rows_come_back_as_they_were(tmp_path, rows): # also those with line separators that are none in JSON
    export_jsonl(rows, tmp_path/'r.jsonl')
    assert import_jsonl(tmp_path/'r.jsonl') == rows

def test_line_separators_within_a_text_end_no_line(tmp_path):
    rows = [row('a\u2028b\x85c\x0bd\x1ee\r\nf', 'é 日本 🛒', 'brand', 'x')]
    export_jsonl(rows, tmp_path/'r.jsonl')
    assert import_jsonl(tmp_path/'r.jsonl') == rows

USER, ASSISTANT = [dict(role='user', content='q')], [dict(role='assistant', content='a')]

@pytest.mark.parametrize('line', [dict(prompt='q', completion='a'), dict(prompt=USER, completion=ASSISTANT), dict(prompt=USER, completion='a'), dict(messages=USER + ASSISTANT),
    dict(prompt=[dict(role='user', content='q', name='x')], completion=ASSISTANT)])
@pytest.mark.parametrize('head,end', [('', '\n'), ('\ufeff', '\n'), ('', '\r\n'), ('\n  \n', '\n\n')])
def test_trl_forms(tmp_path, line, head, end):
    (path := tmp_path/'r.jsonl').write_bytes((head + json.dumps(line) + end + json.dumps(line | dict(kind='brand', entity=7))).encode())
    one, two = import_jsonl(path, kind='retailer')
    assert one['prompt'] == two['prompt'] == USER and one['completion'] == two['completion'] == ASSISTANT
    assert (one['kind'], two['kind'], two['entity']) == ('retailer', 'brand', '7')
    assert fatal(check_rows([one])) == []

def test_rows_without_an_entity_are_known_by_their_prompt(tmp_path):
    for name, prompts in dict(a='xyz', b='pqx').items(): (tmp_path/f'{name}.jsonl').write_text('\n'.join(json.dumps(dict(prompt=p, completion='1')) for p in prompts))
    a, b = import_jsonl(tmp_path/'a.jsonl'), import_jsonl(tmp_path/'b.jsonl')
    assert len({r['entity'] for r in a + b}) == 5 and a[0]['entity'] == b[2]['entity']
    assert {line for line, _ in fatal(check_rows(a, b))} == {6}

@pytest.mark.parametrize('bad,why', [('{"prompt": "q"', 'not JSON'), ('[1]', 'no prompt and completion'), ('{"prompt": "q"}', 'no prompt and completion'), ('{"prompt": 3, "completion": "a"}', 'prompt is neither'),
    ('{"prompt": "q", "completion": []}', 'completion is neither'), ('{"prompt": "q", "completion": [{"role": "assistant"}]}', 'completion is neither'), ('{"prompt": "q", "completion": null}', 'completion is neither'),
    ('{"prompt": "q", "completion": [{"role": "user", "content": "a"}]}', "'user'"), ('{"prompt": "q", "completion": "a", "kind": "shop"}', "'shop'"), ('{"messages": [{"role": "user", "content": "q"}]}', 'prompt is neither'), (b'{"prompt": "caf\xe9"}', 'UTF-8'), ('{"n": ' + '1' * 5000 + '}', 'no JSON that can be read'), ('[' * 100_000, 'no JSON that can be read')])
def test_a_bad_line_is_named(tmp_path, bad, why):
    (path := tmp_path/'rows.jsonl').write_bytes(b'\n'.join([b'{"prompt": "q", "completion": "a"}', b'', bad if isinstance(bad, bytes) else bad.encode(), b'nor is this']))
    with pytest.raises(DatasetError, match=f'rows.jsonl, line 3.*{why}'): import_jsonl(path)

def test_an_empty_file_holds_no_rows(tmp_path):
    (path := tmp_path/'rows.jsonl').write_text('\n \n')
    with pytest.raises(DatasetError, match='rows.jsonl holds no rows'): import_jsonl(path)

def test_rows_are_loaded_from_wherever_they_are(tmp_path):
    export_jsonl(rows := card_rows(HELD_OUT_TOOLS, 5), tmp_path/'r.jsonl')
    (tmp_path/'m.jsonl').write_text('\n' + json.dumps(dict(messages=USER + ASSISTANT)))
    assert load_rows(tmp_path/'r.jsonl') == rows and load_rows(tmp_path/'r.jsonl', 2) == rows[:2] and len(load_rows(tmp_path/'m.jsonl')) == 1
    assert load_rows(REPORTS['uber_retail_ads'], 7) == report_rows(REPORTS['uber_retail_ads'])[1][:7] # JSON lines, but of a report
    assert load_rows('opaque', 3, 8) == card_rows(HELD_OUT_NETWORKS['opaque'], 3, 8)
    with pytest.raises(DatasetError, match='nowhere'): load_rows('nowhere')
    with pytest.raises(DatasetError, match='of no network'): load_rows('opaque', network='walmart')

def test_rows_of_a_network_of_ones_own(tmp_path):
    column = lambda name, field, unit: dict(name=name, field=field, unit=unit, status='inferred')
    (own := tmp_path/'own.yaml').write_text(json.dumps(dict(network='own', title='Own', date_order='dmy', currency=dict(value='GBP', status='inferred'),
        columns=[column('q1', 'event_date', 'date'), column('q2', 'campaign_id', 'id'), column('q3', 'spend', 'cents')])))
    (report := tmp_path/'own.csv').write_text('q1,q2,q3\n01/12/2026,007,1250\n31/02/2026,008,10\n')
    only, = load_rows(report, network=own)
    assert (question(only), said(only)) == ('Map to RMIS\nq1=01/12/2026\nq2=007\nq3=1250', '{"event_date":"2026-12-01","campaign_id":"007","spend":12.50}')
    with pytest.raises(ReportError): load_rows(report)

# --- splits

def named(entities): return [row(f'q{i}', 'a', 'task', e) for i, e in enumerate(entities)]

@given(st.lists(st.sampled_from([f'e{i}' for i in range(60)]), min_size=30, max_size=200).filter(lambda x: len(set(x)) > 1), st.floats(.05, .6), st.integers(0, 5))
def test_a_split_is_by_entity_and_loses_nothing(entities, share, seed):
    rows = named(entities)
    train, test = split(rows, share, seed)
    assert (train, test) == split(rows, share, seed)
    assert not {r['entity'] for r in train} & {r['entity'] for r in test}
    assert train and test and sorted(map(question, train + test)) == sorted(map(question, rows))
    assert [question(r) for r in rows if r in test] == [question(r) for r in test] # the order stays

@settings(max_examples=40)
@given(st.lists(st.integers(0, 10**6), min_size=0, max_size=300), st.integers(0, 9))
def test_new_rows_move_no_old_ones(more, seed):
    old = named([f'campaign {i}' for i in range(100)])
    train, test = split(old, .2, seed)
    later = split(old + named([f'new {e}' for e in more]), .2, seed)
    assert {r['entity'] for r in train} <= {r['entity'] for r in later[0]} and {r['entity'] for r in test} <= {r['entity'] for r in later[1]}

def test_a_split_is_the_same_everywhere_and_has_about_its_share():
    train, test = split(named(map(str, range(2000))), .25)
    assert 430 < len(test) < 570
    assert [r['entity'] for r in test[:6]] == ['7', '15', '18', '20', '25', '36']
    assert len({frozenset(r['entity'] for r in split(train, .25, s)[1]) for s in range(5)}) == 5

@pytest.mark.parametrize('entities', [[], ['one'], ['one']*9])
def test_what_cannot_be_split_is_refused(entities):
    with pytest.raises(DatasetError, match='cannot be split'): split(named(entities))

def test_of_two_entities_one_is_held_out():
    for seed in range(20):
        train, test = split(named('ababa'), .2, seed)
        assert {len({r['entity'] for r in side}) for side in (train, test)} == {1}

# --- checks

def clean(n=40): return [row(f'q{i}', json.dumps(dict(tool=('a', 'b')[i%2], args={})), 'task', f'e{i}') for i in range(n)]

def with_row(i, **new):
    rows = clean()
    rows[i - 1] = {**rows[i - 1], **new}
    return rows

def completion(text): return [dict(role='assistant', content=text)]

def test_good_rows_have_no_problems(tokenizer):
    assert check_rows(clean(), [row('other', '{"tool":"a"}', 'task', 'other')], tokenizer) == [] == check_rows([])
    require_good([])

@pytest.mark.parametrize('at,new,why', [(3, dict(completion=completion('  ')), 'empty'), (7, dict(completion=completion('{"tool":')), 'begins like JSON.*column 9'), (8, dict(completion=completion('[1,]')), 'begins like JSON'),
    (9, dict(completion='a'), 'completion is no list'), (40, dict(prompt=[]), 'prompt is no list'), (2, dict(prompt=[dict(role='user')]), 'prompt is no list'), (1, dict(completion=USER), 'not said by the assistant'), (4, dict(completion=completion('[' + '1' * 5000 + ']')), 'JSON that cannot be read'), (4, dict(completion=completion('[' * 100_000)), 'JSON that cannot be read'), (5, dict(completion=completion('a\ud800')), 'half a character'), (6, dict(completion=completion('a') + completion('b')), 'more than one message'),
    (5, dict(kind='shop'), "kind is 'shop'"), (6, dict(entity=None), 'no entity'), (7, dict(unknown=[[0, 10**4]]), 'unknown is no list'), (8, dict(unknown=[[3, 3]]), 'unknown is no list'), (9, dict(unknown=3), 'unknown is no list'), (12, dict(prompt=clean()[3]['prompt'], completion=completion('{"tool":"c"}')), 'another answer to the prompt of row 4')])
def test_a_fault_is_named_with_its_row(at, new, why):
    [(line, what)] = fatal(check_rows(with_row(at, **new)))
    assert line == at and re.search(why, what)
    with pytest.raises(DatasetError, match=f'1 rows cannot be used: row {at}: .*{why}'): require_good(check_rows(with_row(at, **new)))

def test_what_is_no_row_at_all_is_named():
    rows = clean()
    rows[4] = 'text'
    assert fatal(check_rows(rows)) == [(5, 'a str is no row')]
    del (rows := clean())[10]['completion']
    assert [line for line, _ in fatal(check_rows(rows))] == [11]

def test_a_duplicate_is_a_warning():
    rows = clean()
    rows[20] = rows[10]
    [problem] = check_rows(rows)
    assert (problem.line, problem.fatal, str(problem)) == (21, False, 'row 21: the same as row 11 (a warning)')
    require_good([problem])

def test_the_same_words_by_other_speakers_are_another_prompt():
    one, two = row('b', '1', 'task', 'x', ['a']), {**row('a\nb', '2', 'task', 'x')}
    assert check_rows([one, two]) == []

def test_leakage_by_row_and_by_entity():
    test = [row('new', '{"tool":"a"}', 'task', 'e5'), row('q7', said(clean()[7]), 'task', 'unseen'), row('q9', '{"tool":"z"}', 'task', 'unseen'), row('fresh', '{"tool":"a"}', 'task', 'unseen')]
    problems = fatal(check_rows(clean(), test))
    assert problems == [(41, "entity 'e5' is in training, too"), (42, 'a test row that is row 8 of training'), (43, 'a test row that is row 10 of training')]

def test_length_is_that_of_the_row_as_it_is_trained_on(tokenizer):
    rows = with_row(6, prompt=[dict(role='user', content='spend '*50)])
    exact = len(tokenizer(tokenizer.apply_chat_template([*rows[5]['prompt'], *rows[5]['completion']], tokenize=False)).input_ids)
    assert check_rows(rows, tokenizer=tokenizer, longest=exact) == []
    assert fatal(check_rows(rows, tokenizer=tokenizer, longest=exact - 1)) == [(6, f'{exact} tokens, more than {exact - 1}')]

def test_imbalance_is_named_at_the_first_rare_row():
    rows = clean(60)
    rows[33]['completion'] = completion('{"tool":"rare","args":{}}')
    [problem] = check_rows(rows)
    assert (problem.line, problem.fatal) == (34, False) and "'rare' has only 1 of 60 rows" in problem.what

@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=14))
def test_duplicates_and_contradictions_are_counted_as_a_table_would(pairs):
    rows = [row(f'q{q}', f'a{a}', 'brand', f'e{i}') for i, (q, a) in enumerate(pairs)]
    first, want = {}, []
    for i, (q, a) in enumerate(pairs, 1):
        if q in first: want.append((i, a != first[q][1]))
        first.setdefault(q, (i, a))
    assert [(p.line, p.fatal) for p in check_rows(rows)] == want

def test_many_faults_are_cut_short():
    with pytest.raises(DatasetError, match='^9 rows cannot be used: row 1: .*; row 5: .*; …'): require_good(check_rows([row(f'q{i}', '', 'task', 'e') for i in range(9)]))

def test_only_the_last_word_of_a_conversation_is_learned(tmp_path):
    said = [dict(role='assistant', content='Which month?'), dict(role='user', content='May'), dict(role='assistant', content='Seven.')]
    (tmp_path/'rows.jsonl').write_text('\n'.join(json.dumps(dict(prompt=[dict(role='user', content=q)], completion=said)) for q in ('How many?', 'How much?')))
    one,two = import_jsonl(tmp_path/'rows.jsonl')
    assert [m['content'] for m in one['prompt']] == ['How many?', 'Which month?', 'May'] and one['completion'] == said[-1:] and not fatal(check_rows([one, two]))
    assert row_digest(one) != row_digest(two)

def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match='rows.jsonl cannot be read'): import_jsonl(tmp_path/'rows.jsonl')

def test_a_row_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    (path := tmp_path/'rows.jsonl').write_text('here')
    with pytest.raises(UnicodeEncodeError): export_jsonl([row('a\ud800', 'b', 'task', 'e')], path)
    assert path.read_text() == 'here'


def test_parts_are_apart(tmp_path):
    train, watched, measured = load_parts('opaque', 200, 40, 3)
    assert len(train) == 200 and len(watched) <= 64 and len(measured) <= 40
    entities = lambda rows: {r['entity'] for r in rows}
    assert not entities(train) & entities(watched + measured)
    assert not {row_digest(r) for r in measured} & {row_digest(r) for r in train + watched}
    assert load_parts('opaque', 200, 40, 3) == (train, watched, measured)


def test_parts_of_a_file_are_all_of_it(tmp_path):
    rows = card_rows(HELD_OUT_NETWORKS['opaque'], 900)
    export_jsonl(rows + rows[:50], tmp_path/'rows.jsonl')
    train, watched, measured = load_parts(tmp_path/'rows.jsonl', rows=10, test=2000)
    assert len(train) + len(watched) + len(measured) <= 950 and len(train) > 600
    assert {row_digest(r) for r in train + watched + measured} == {row_digest(r) for r in rows}
    with pytest.raises(DatasetError, match='Did you mean opaque'): load_parts('opaqe')
