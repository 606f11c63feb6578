"training.answers and training.evaluate: planted mistakes give exact counts, and the edges of JSON."
import json, random, subprocess, sys
from contextlib import contextmanager

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from rmn_lora.errors import DatasetError
from rmn_lora.stats.fixed_horizon import bootstrap, holm, mcnemar, paired_difference, wilson
from rmn_lora.training.answers import Scored, fields, outcomes, parse_answer, relative_errors, same
from rmn_lora.training.evaluate import compare, comparison_table, evaluate, exact_chart, leakage_probe

def row(question, answer, system=None):
    prompt = [dict(role='user',content=question)]
    return dict(prompt=[dict(role='system',content=system)]*(system is not None)+prompt, completion=[dict(role='assistant',content=answer)])

class Said:
    "Answers from a table of question → answer; `using` adds the tables of its 'folders'."
    def __init__(self, answers): self.answers,self.batches,self.stacked = answers,[],()
    def generate(self, prompts, max_new_tokens, batch_size):
        self.batches.append([len(p[-1]['content']) for p in prompts])
        return [self.answers[p[-1]['content']] for p in prompts]
    @contextmanager
    def using(self, *folders):
        self.stacked = folders
        try: yield Said({**self.answers,**{k:v for f in folders for k,v in f.items()}})
        finally: self.stacked = ()

def score(*pairs):
    rows = [row(f'q{i}',want) for i,(want,_) in enumerate(pairs)]
    return evaluate(Said({f'q{i}':got for i,(_,got) in enumerate(pairs)}), rows)

# --- reading

@pytest.mark.parametrize('text', ['', '   ', 'spend 12', '{"a":1} ok', 'Sure: {"a":1}', '```json\n{"a":1}\n```', '{"a":1}{"b":2}', '{"a":1,}',
    '{"a":1,"a":1}', '{"x":{"a":1,"a":2}}', '{"a":NaN}', '{"a":Infinity}', '[-Infinity]', '{"a":1e400}', '{"a":1e-400}', '{"a":1e99999999999999999999}',
    '{"a":'+'9'*400+'}', '{"a":"\\ud800"}', '{"\\udfff":1}', '12.30', '"text"', 'null', 'true', "{'a':1}", '{"a":01}', '{"a":.5}', '{"a":1', '['*100_000, '{"a":'*150+'1'+'}'*150])
def test_invalid(text): assert parse_answer(text) is None

@pytest.mark.parametrize('text', ['{}', '[]', ' {"a":1}\n', '{"a":"\\ud83d\\ude00"}', '{"a":"é"}', '{"a":'+'9'*60+'}', '{"a":-0.0}', '{"a":'*50+'1'+'}'*50, '{"a":1,"A":1}'])
def test_valid(text): assert parse_answer(text) is not None

@pytest.mark.parametrize('a,b,equal', [('12.30','12.3',True), ('12','12.0',True), ('1.23e1','12.3',True), ('0','-0.0',True), ('0.1','0.10000000000000001',False),
    ('9007199254740993','9007199254740992',False), ('1','true',False), ('0','false',False), ('0','null',False), ('"12"','12',False), ('"a"','"A"',False),
    ('[1,2]','[2,1]',False), ('{"x":1,"y":2}','{"y":2,"x":1}',True), ('{}','[]',False), ('{"x":1}','{"x":1,"y":null}',False), ('"\\u00e9"','"é"',True)])
def test_same(a, b, equal):
    x,y = parse_answer(f'[{a}]'),parse_answer(f'[{b}]')
    assert same(x,y)==same(y,x)==equal
    assert Scored(0,'',f'{{"f":{a}}}',f'{{"f":{b}}}').exact==equal

leaf = st.none()|st.booleans()|st.integers(-10**20,10**20)|st.floats(-1e15,1e15).filter(lambda x: not 0<abs(x)<1e-300)|st.text(st.characters(exclude_categories=['Cs']),max_size=6)
nested = st.recursive(leaf, lambda c: st.lists(c,max_size=3)|st.dictionaries(st.text(st.characters(exclude_categories=['Cs']),max_size=4),c,max_size=3), max_leaves=10)
document = st.dictionaries(st.text(st.characters(exclude_categories=['Cs']),max_size=4), nested, max_size=4)|st.lists(nested,max_size=4)

@given(document)
def test_what_python_writes_is_read_back_whatever_the_key_order_and_spacing(doc):
    def turned(x): return {k:turned(x[k]) for k in reversed(x)} if isinstance(x,dict) else list(map(turned,x)) if isinstance(x,list) else x
    s = Scored(0, '', json.dumps(doc), json.dumps(turned(doc), indent=2, ensure_ascii=False))
    assert s.is_json and s.valid and s.exact and s.score==1
    assert all(o=='right' for _,o,_ in outcomes(s))

@given(document, document)
def test_exact_means_every_field_right_and_none_extra(a, b):
    if isinstance(a,dict)!=isinstance(b,dict): return
    s = Scored(0, '', json.dumps(a), json.dumps(b))
    assert s.exact==all(o=='right' for _,o,_ in outcomes(s))
    assert sum(o!='extra' for _,o,_ in outcomes(s))==len(s.leaves[0])
    assert 0<=s.score<=1

def test_fields_of_a_tool_call():
    assert fields(parse_answer('{"tool":"t","args":{"ids":["a","b"],"none":{}}}'))=={('tool',):'t',('args','ids',0):'a',('args','ids',1):'b',('args','none'):{}}

# --- one row

@pytest.mark.parametrize('want,got,expected', [
    ('{"a":1,"b":2}', '{"a":2,"b":1}', [('a','moved','b'),('b','moved','a')]),
    ('{"spend":5}', '{"cost":5}', [('spend','moved','cost')]),
    ('{"a":1}', '{"a":3}', [('a','wrong value',None)]),
    ('{"a":1,"b":2}', '{"b":2}', [('a','missing',None),('b','right',None)]),
    ('{"a":1}', '{"a":1,"z":9}', [('a','right',None),('z','extra',None)]),
    ('{"a":1,"b":1}', '{"b":1}', [('a','missing',None),('b','right',None)]), # b's 1 is b's own
    ('{"a":1,"b":1}', '{"c":1}', [('a','moved','c'),('b','missing',None)]), # one value has one owner
    ('{"a":1,"b":2}', '{"a":1,"b":2} bye', [('a','no JSON',None),('b','no JSON',None)]),
    ('{"t":{"x":1}}', '{"x":1}', [('t.x','moved','x')])])
def test_outcomes(want, got, expected): assert outcomes(Scored(0,'',want,got))==expected

def test_relative_errors():
    got = relative_errors(Scored(0,'','{"a":10,"b":0,"c":0,"d":-4,"e":"x","f":2}','{"a":11,"b":0,"c":5,"d":4,"e":"y","f":"2"}'))
    assert {k:got[k] for k in 'abd'}=={'a':.1,'b':0,'d':2} and got['c']!=got['c'] and set(got)=={'a','b','c','d'}

def test_text_rows_ignore_white_space_only():
    assert Scored(0,'','Pour  yourself\njoy!',' Pour yourself joy! ').exact
    assert not Scored(0,'','Pour yourself joy!','pour yourself joy!').exact
    assert not Scored(0,'','12.30','12.3').exact # a lone number is text, not a record

# --- many rows

PERFECT = '{"impressions":%d,"clicks":%d,"spend":%d.5}'
def planted():
    "100 rows: 10 swapped, 5 in cents, 4 missing a field, 3 with an extra, 2 with talk after the JSON."
    out = []
    for i in range(100):
        want = PERFECT%(1000+i,i+1,i+1)
        got = (PERFECT%(i+1,1000+i,i+1) if i<10 else want.replace(f'{i+1}.5',f'{i+1}50') if i<15 else f'{{"impressions":{1000+i},"spend":{i+1}.5}}' if i<19
            else want[:-1]+',"note":"hi"}' if i<22 else want+' Hope this helps' if i<24 else want.replace('.5','.50'))
        out.append((want,got))
    return out

def test_planted_mistakes_give_the_exact_counts():
    e = score(*planted())
    assert e.exact==wilson(76,100) and e.json_valid==wilson(98,100)
    c = {(f,o,to):n for f,o,to,n in e.confusion().rows()}
    assert c[('impressions','moved','clicks')]==c[('clicks','moved','impressions')]==10
    assert c[('spend','wrong value',None)]==5 and c[('clicks','missing',None)]==4 and c[('note','extra',None)]==3
    assert c[('spend','no JSON',None)]==2 and c[('spend','right',None)]==93
    right,answered = 88+84+93,98*3-4+3
    assert e.field_f1.estimate==pytest.approx(2*right/(300+answered))
    assert e.field_f1.lo<e.field_f1.estimate<e.field_f1.hi
    by = {r['field']:r for r in e.by_field().to_dicts()}
    assert (by['clicks']['expected'],by['clicks']['answered'],by['clicks']['right'])==(100,94,84)
    assert by['clicks']['precision']==pytest.approx(84/94) and by['clicks']['recall']==.84 and by['clicks']['lo']==wilson(84,100).lo
    assert by['note']['recall'] is None and by['note']['precision']==0
    n = e.numeric_error
    assert n.n==98*3-4 and n.median==0 and n.undefined==0
    assert n.mean==pytest.approx((5*99+sum((999/(i+1))+(999/(1000+i)) for i in range(10)))/n.n)

def test_confusion_adds_up_to_what_was_expected():
    e = score(*planted())
    sums = e.confusion().filter(pl.col('outcome')!='extra').group_by('field').agg(pl.col('n').sum())
    assert dict(sums.iter_rows())=={'impressions':100,'clicks':100,'spend':100}

def test_worst_are_the_furthest_from_right():
    e = score(*planted())
    assert [s.row for s in e.worst(3)]==[22,23,0] and len(e.worst(1000))==24
    assert 'not valid JSON' in repr(e.worst(1)) and 'moved to clicks' in repr(e.worst(3))

@given(st.permutations(range(24)))
@settings(max_examples=20)
def test_the_order_of_rows_does_not_matter(order):
    pairs = planted()[::4][:24]
    rows = [row(f'q{i}',want) for i,(want,_) in enumerate(pairs)]
    model = Said({f'q{i}':got for i,(_,got) in enumerate(pairs)})
    a,b = evaluate(model,rows),evaluate(model,[rows[i] for i in order])
    assert a.to_dict()==b.to_dict() and a.confusion().equals(b.confusion())

@given(st.lists(document, min_size=1, max_size=8))
@settings(max_examples=30)
def test_identical_answers_are_all_one(docs):
    e = score(*((json.dumps(d),json.dumps(d)) for d in docs))
    n = len(docs)
    assert e.exact==e.json_valid==e.field_f1==wilson(n,n)
    assert e.numeric_error is None or (e.numeric_error.mean,e.numeric_error.undefined)==(0,0)
    assert (e.by_field()['f1']==1).all() and list(e.worst())==[]

def test_f1_interval_is_the_bootstrap_over_rows():
    e = score(('{"a":1}','{"a":1}'),('{"a":1}','{"a":2}'),('{"a":1,"b":2}','{"a":1}'))
    i = bootstrap([[0,2],[1,2],[1,3]], lambda c: 2*c[:,0].sum()/c[:,1].sum(), method='percentile')
    assert e.field_f1==i

def test_one_wrong_row_has_bounds_within_zero_and_one():
    f = score(('{"a":1}','no')).field_f1
    assert (f.lo,f.estimate)==(0,0) and .7<f.hi<1

def test_text_only_and_mixed_rows():
    text = score(('Wake up','Wake up'),('Wake up','Sleep'))
    assert text.exact==wilson(1,2) and text.json_valid is None and text.field_f1 is None and text.numeric_error is None
    assert text.by_field().is_empty() and text.confusion().is_empty() and text.table()['metric'].to_list()==['exact match']
    assert 'Sleep' in repr(text.worst()) and 'Sleep' in text.worst()._repr_html_()
    mixed = score(('Wake up','Wake up'),('{"a":1}','{"a":2}'))
    assert mixed.exact.n==2 and mixed.json_valid.n==1

def test_to_dict_is_strict_json():
    for e in (score(*planted()),score(('{"a":0}','{"a":1}')),score(('{"a":1e-300}','{"a":1e300}')),score(('{"a":[]}','x'))):
        json.dumps(e.to_dict(), allow_nan=False)
    assert score(('{"a":0}','{"a":1}')).numeric_error is None
    assert score(('{"a":0,"b":1}','{"a":1,"b":1}')).numeric_error.undefined==1

def test_html_escapes_what_the_model_said():
    evil = '<script>alert(1)</script>'
    for got in (evil,json.dumps({'a':evil}),json.dumps({evil:1})):
        e = score(('{"a":1}',got))
        assert '<script' not in e.worst()._repr_html_()+e._repr_html_()
    seven = score(('{"a":7,"b":true,"c":1}','{"a":"7","b":true}')).worst()
    assert seven.lines(seven[0])==[('a','7','"7"','wrong value'),('b','true','true',''),('c','1','–','missing')]
    assert '≠' in score(('{"a":1}','{"a":2}')).worst()._repr_html_()

# --- asking

def test_batches_cover_every_row_longest_first_and_keep_order():
    rows = [row('q'*n,str(n)) for n in (3,9,1,7,5)]
    model = Said({'q'*n:str(n) for n in (3,9,1,7,5)})
    e = evaluate(model, rows, batch_size=2)
    assert model.batches==[[9,7],[5,3],[1]] and [s.got for s in e.scored]==['3','9','1','7','5'] and e.exact.estimate==1

def test_adapters_are_stacked_for_the_call_only():
    model = Said({'q0':'no'})
    rows = [row('q0','yes')]
    assert evaluate(model,rows).exact.estimate==0
    assert evaluate(model,rows,[{'q0':'maybe'},{'q0':'yes'}]).exact.estimate==1
    assert model.stacked==() and model.answers=={'q0':'no'}

def test_no_rows_and_too_few_answers_are_refused():
    with pytest.raises(DatasetError): evaluate(Said({}), [])
    class Short:
        def generate(self, prompts, max_new_tokens, batch_size): return ['a']
    with pytest.raises(ValueError): evaluate(Short(), [row('a','a'),row('b','b')])

def test_the_system_message_is_no_part_of_the_question():
    rows = [row('q','{"a":1}',system='Schema\nx=a')]
    with_card,without = evaluate(Said({'q':'{"a":1}'}),rows),evaluate(Said({'q':'no'}),[row('q','{"a":1}')])
    assert compare(without,with_card).gained==1

def test_nothing_is_printed_when_no_terminal_is_there(capfd):
    score(*planted())
    assert capfd.readouterr()==('','')

# --- comparing

def test_compare_agrees_with_the_statistics_it_uses():
    rng = random.Random(0)
    rows = [row(f'q{i}','{"a":1}') for i in range(80)]
    says = lambda p: evaluate(Said({f'q{i}':'{"a":1}' if rng.random()<p else '{"a":2}' for i in range(80)}), rows)
    before,after = says(.5),says(.8)
    gained = sum(y.exact and not x.exact for x,y in zip(before.scored,after.scored))
    lost = sum(x.exact and not y.exact for x,y in zip(before.scored,after.scored))
    c = compare(before,after)
    assert (c.gained,c.lost,c.difference,c.test)==(gained,lost,paired_difference(gained,lost,80),mcnemar(gained,lost))
    assert c.difference.estimate==pytest.approx(after.exact.estimate-before.exact.estimate)
    assert compare(after,before).difference.estimate==-c.difference.estimate
    json.dumps(c.to_dict(), allow_nan=False)

def test_compare_with_itself_is_undefined_not_zero():
    c = compare(*[score(*planted())]*2)
    assert c.test.p is None and c.difference.estimate==0 and c.difference.lo<0<c.difference.hi

def test_compare_refuses_different_rows():
    a,b,short = score(('{"a":1}','x'),('{"a":2}','x')),score(('{"a":1}','x'),('{"a":3}','x')),score(('{"a":1}','x'))
    with pytest.raises(DatasetError, match='row 1'): compare(a,b)
    with pytest.raises(DatasetError, match='row 1'): compare(a,short)

def test_comparison_table():
    base,better,best = (score(*[('{"a":1}','{"a":1}' if i<k else 'no') for i in range(40)]) for k in (10,25,39))
    other = score(('Hello','Hello'))
    t = comparison_table({'base':base,'better':better,'best':best,'other':other})
    assert t['name'].to_list()==['base','better','best','other'] and t['exact'].to_list()==[.25,.625,.975,1.]
    assert t['gain'].to_list()==[None,.375,.725,None] and t['json_valid'].to_list()==[.25,.625,.975,None]
    assert [p for p in t['p'] if p is not None]==pytest.approx(holm([mcnemar(15,0).p,mcnemar(29,0).p]))

def test_exact_chart_has_point_whisker_and_label_for_each():
    spec = exact_chart({'base':score(('a','a')),'<b>':score(('a','b'),('c','c'))}).to_dict()
    assert [layer['mark']['type'] for layer in spec['layer']]==['rule','point','text']
    data = next(iter(spec['datasets'].values()))
    assert [d['name'] for d in data]==['base','<b>'] and data[0]['lo']==wilson(1,1).lo
    assert 'n = 1 to 2' in spec['layer'][0]['encoding']['x']['title'] and 'color' not in json.dumps(spec['layer'])

# --- leakage

def test_leakage_counts_words_known_only_from_the_own_rows():
    own = [row('Map to RMIS\nq1=5\nCost=7','{"clicks":5,"spend":7}')]
    other = [row(f'Map to RMIS\nhits={i}','{"clicks":%d}'%i) for i in range(10)]
    says = {f'Map to RMIS\nhits={i}':'{"q1":%d}'%i if i<3 else '{"clicks":%d,"cost":1}'%i if i<5 else '{"clicks":%d}'%i for i in range(10)}
    adapter = {q:a for q,a in says.items()}
    leak = leakage_probe(Said({q:'{"spend":5}' for q in says}), adapter, other, own)
    assert leak.leaked==wilson(5,10) and leak.exact==wilson(5,10) and leak.words=={'q1':3,'cost':2}
    control = leakage_probe(Said({q:'{"hits":5}' for q in says}), None, other, own)
    assert control.leaked==wilson(0,10) and control.words=={} and control.exact==wilson(0,10)

def test_imports_no_torch():
    code = "import sys, rmn_lora.training.evaluate; sys.exit(any(m in sys.modules for m in ('torch','altair','transformers','statsmodels')))"
    assert subprocess.run([sys.executable,'-c',code]).returncode==0

def test_all_wrong_is_not_certainly_all_wrong():
    wrong = score(*[('{"a": 1}', '{"a": 2}')] * 3)
    assert wrong.field_f1.estimate == 0 and wrong.field_f1.hi == wrong.exact.hi > .5
