"A tiny base made on the spot, and a reader of cards that shares no code with the cards."
import json, re
from datetime import datetime
from decimal import Decimal

import pytest

NUMBER = re.compile(r'impressions|clicks|spend|(orders|units|sales)_\d+d')
DATES = dict(dmy='%d/%m/%Y', mdy='%m/%d/%Y', ymd='%Y%m%d')


def canonical(text, op):
    "What a report's cell says, by the op of its card; None for nothing."
    if not text: return None
    if op == 'cents': return f'{Decimal(text).scaleb(-2):.2f}'
    return datetime.strptime(text, DATES[op]).date().isoformat() if op else text


def said(field, value):
    "A JSON value: bare numbers, all else in quotes."
    return 'null' if value is None else value if NUMBER.fullmatch(field) else json.dumps(value, ensure_ascii=False)


def pairs(text): return [line.split('=', 1) for line in text.split('\n')] if text else []


def read_record(body, schema):
    "Field → canonical value of the lines of a question; they are canonical already where no schema card is there."
    if schema is None: return {k: v or None for k, v in pairs(body)}
    rules = {name: (*rule.split(' '), '')[:2] for name, rule in pairs(schema)}
    return {rules[n][0]: canonical(v, rules[n][1]) for n, v in pairs(body)}


def answer(cards, question):
    "The answer that follows from the text of the cards and the question, and from nothing else."
    held = {c.split('\n', 1)[0]: c.split('\n', 1)[1] for c in map(str, cards)}
    task, _, body = question.partition('\n')
    rest, _, last = question.rpartition('\n')
    if task == 'Copy': return body
    if task == 'Write copy':
        rules, brief = pairs(held['Tone']), dict(pairs(body))
        (_, opens), (_, closes), (_, price), (_, mark), (avoid, say) = rules
        benefit = ' '.join(say if w.lower() == avoid.lower() else w for w in brief['benefit'].split(' '))
        return f'{opens}: {brief["product"]}, {benefit}{mark}' + (f' Only {brief["price"]}{mark}' if price == 'show' else '') + f' {closes}{mark}'
    if task == 'Map to RMIS': return '{' + ','.join(f'"{f}":{said(f, v)}' for f, v in read_record(body, held.get('Schema')).items()) + '}'
    if task == 'Call a tool':
        record = read_record(rest.partition('\n')[2], held.get('Schema'))
        name, args = re.fullmatch(r'(.*?)\((.*)\)', dict(pairs(held['Tools']))[last.removeprefix('objective=')]).groups()
        if 'Codes' in held: record['category'] = dict(pairs(held['Codes']))[record['product']]
        return f'{{"tool":"{name}","args":{{' + ','.join(f'"{a}":{said(a, record[a])}' for a in args.split(',')) + '}}'
    wanted = last.removeprefix('Get ')
    if wanted == 'category': return dict(pairs(held['Codes']))[rest.removeprefix('product=')]
    if not held: return dict(pairs(rest))[wanted]
    return '{' + f'"{wanted}":{said(wanted, read_record(rest, held["Schema"])[wanted])}' + '}'


@pytest.fixture(scope='session')
def answer_by_text(): return answer


@pytest.fixture(scope='session')
def tokenizer():
    from rmn_lora.training.pretrain import train_tokenizer
    return train_tokenizer(examples=500, vocab=512)


@pytest.fixture(scope='session')
def base_folder(tokenizer, tmp_path_factory):
    "A checkpoint that knows nothing: two layers, 64 wide."
    from rmn_lora.training.pretrain import Recipe, new_model
    folder = tmp_path_factory.mktemp('base')
    new_model(Recipe(width=64, layers=2, heads=2, ff=64, vocab=512), tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
