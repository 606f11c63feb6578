"services.candidates and active_learning: batches that are unsure and differ, in every form that answers come in."
import json

import numpy as np
import pytest
import torch

from rmn_lora.adapters.generation import Generation
from rmn_lora.errors import SelectionError
from rmn_lora.services.active_learning import ActiveLearningSelector, Stopping, StreamingSelector, agreement, enqueue, get_selector, select_for_feedback, settle, waiting
from rmn_lora.services.candidates import UncertaintyMethod, candidate, letters, scores_of
from rmn_lora.stats.diversity import vendi
from rmn_lora.stats.uncertainty import bald, entropy, margin, variance
from rmn_lora.storage.models import QueueItem

def pool(n=1500, kinds=60, k=6, seed=0, spread=.02):
    rng = np.random.default_rng(seed)
    centers,unsure,which = rng.normal(size=(kinds,24)),rng.normal(size=(kinds,k))*rng.uniform(.3,3,(kinds,1)),rng.integers(kinds,size=n)
    return [dict(prompt=f'kind {w}',model_output=f'{i}',task_type='mapping' if w%2 else 'copy') for i,w in enumerate(which)],unsure[which]+.05*rng.normal(size=(n,k)),centers[which]+spread*rng.normal(size=(n,24))

def test_the_seeds_own_lines():
    from rmn_lora.services import ActiveLearningSelector as handed_on, UncertaintyMethod as Method
    from rmn_lora.services.active_learning import get_selector as get
    model_outputs,model_logits,example_embeddings = pool()
    selector = handed_on(method=Method.ENTROPY,batch_size=10)
    uncertain_examples = selector.select_uncertain_examples(candidates=model_outputs,logits=model_logits,embeddings=example_embeddings)
    assert len([f'Priority {e.priority}: {e.uncertainty_score:.3f}' for e in uncertain_examples])==10
    assert handed_on(method='entropy').select_uncertain_examples(candidates=model_outputs,logits=model_logits) and get() is get_selector()
    for e in select_for_feedback(model_outputs,method='entropy',batch_size=10,logits=model_logits): assert {'example_id','prompt','model_output','uncertainty_score','diversity_score','priority','task_type','reason'}<=set(e.to_dict())
    json.dumps([e.to_dict() for e in uncertain_examples],allow_nan=False)

@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('spread', [.02,.5])
def test_a_batch_is_as_diverse_as_chance_and_nearly_as_unsure_as_the_plain_top(seed, spread):
    "Vendi / k at least .95 of the mean of 200 random batches, with at least .8 of the plain top's mean unsureness."
    outputs,logits,x = pool(seed=seed,spread=spread)
    batch = ActiveLearningSelector(batch_size=10).select_uncertain_examples(outputs,logits,x)
    at = [int(e.model_output) for e in batch]
    rng = np.random.default_rng(seed)
    by_chance = np.mean([vendi(x[rng.choice(len(x),10,replace=False)]) for _ in range(200)])
    assert vendi(x[at])>=.95*by_chance and entropy(logits)[at].mean()>=.8*np.sort(entropy(logits))[-10:].mean() and len(set(at))==10

def test_what_was_labelled_is_not_asked_again():
    outputs,logits,x = pool()
    first = [int(e.model_output) for e in ActiveLearningSelector().select_uncertain_examples(outputs,logits,x)]
    second = ActiveLearningSelector().select_uncertain_examples(outputs,logits,x,labelled=x[first])
    assert not {e.prompt for e in second}&{outputs[i]['prompt'] for i in first} and all(e.diversity_score>.05 for e in second)

@pytest.mark.parametrize('strategy', ['default','top','ranked_batch','mmr','badge'])
@pytest.mark.parametrize('method', ['entropy','margin','least_confidence','variance'])
def test_every_strategy_and_method(strategy, method):
    outputs,logits,x = pool(400)
    got = ActiveLearningSelector(method,7,strategy).select_uncertain_examples(outputs,logits,x)
    assert len({e.example_id for e in got})==7 and all(e.priority in ('high','medium','low') and method in e.reason for e in got)

def test_diversity_alone_covers_the_pool():
    outputs,_,x = pool(800,kinds=8,seed=3)
    assert len({e.prompt for e in ActiveLearningSelector(UncertaintyMethod.DIVERSITY,8).select_uncertain_examples(outputs,embeddings=x)})==8

def test_priorities_are_quantiles_of_the_pool():
    outputs = [dict(prompt=f'p{i} {"x"*i}',model_output=str(i),score=float(i)) for i in range(100)]
    got = ActiveLearningSelector(batch_size=100,keep=0,similar=1.).select_uncertain_examples(outputs,embeddings=np.eye(100))
    assert {p: sorted(int(e.model_output) for e in got if e.priority==p) for p in ('high','medium')}==dict(high=list(range(90,100)),medium=list(range(60,90)))

def test_costs_and_tasks_count():
    outputs = [dict(prompt=f'{i}',model_output='x',score=1.,task_type='a' if i<10 else 'b',cost=1. if i%2 else 4.) for i in range(20)]
    got = ActiveLearningSelector(batch_size=5,strategy='top',task_priorities={'b':2.}).select_uncertain_examples(outputs,embeddings=np.eye(20))
    assert {int(e.prompt) for e in got}=={11,13,15,17,19} and {e.uncertainty_score for e in got}=={1.}

# --- forms

def generation(seed):
    g = torch.Generator().manual_seed(seed); n = 5+seed
    return Generation(f'answer {seed}',list(range(n)),-torch.rand(n,generator=g),torch.rand(n,generator=g),torch.rand(n,generator=g),dict(identity=f'sha256:{seed}'))

@pytest.mark.parametrize('method,score', [('entropy',lambda g: g.entropy.mean()),('mean_token_entropy',lambda g: g.entropy.mean()),('margin',lambda g: 1-g.margin.mean()),('least_confidence',lambda g: 1-g.logprobs.exp().mean()),
    ('log_perplexity',lambda g: -g.logprobs.mean()),('normalised_log_probability',lambda g: -g.logprobs.sum()/len(g.tokens)**.6)])
def test_what_the_engine_kept_is_enough(method, score):
    said = [generation(i) for i in range(8)]
    got = ActiveLearningSelector(method,8,'top').select_uncertain_examples(said)
    assert {e.model_output: e.uncertainty_score for e in got}=={g.text: pytest.approx(float(score(g)),rel=1e-5) for g in said} and got[0].composition['identity'].startswith('sha256:')

def test_whole_answers_and_committees():
    c = [candidate(dict(prompt='q',model_output='a',answers=['a','A','b'],p_true=.3)),candidate(dict(prompt='q',model_output='b',answers=['a','a','a'],p_true=.9))]
    assert scores_of(c,UncertaintyMethod.SELF_CONSISTENCY).tolist()==pytest.approx([1/3,0]) and scores_of(c,UncertaintyMethod.SEMANTIC_ENTROPY)[1]==0 and scores_of(c,UncertaintyMethod.P_TRUE).tolist()==[.3,.9]
    x = np.random.default_rng(0).normal(size=(4,2,3))
    assert scores_of(c,UncertaintyMethod.BALD,x)==pytest.approx(bald(x))
    tokens = [np.random.default_rng(i).normal(size=(i+2,5)) for i in range(2)]
    assert scores_of(c,UncertaintyMethod.MARGIN,tokens)==pytest.approx([margin(t).mean() for t in tokens])

def test_ids_are_of_content():
    a,b = candidate(dict(prompt='p',output='x')),candidate(dict(prompt=[dict(role='system',content='s'),dict(role='user',content='p')],text='x'))
    assert a.example_id==b.example_id!=candidate(dict(prompt='p',output='y')).example_id and candidate(dict(example_id='mine',prompt='p')).example_id=='mine' and candidate('only text').model_output=='only text'
    assert letters('The SAME  text')@letters('the same text')==pytest.approx(1)

@pytest.mark.parametrize('wrong', [lambda: ActiveLearningSelector('beauty'), lambda: ActiveLearningSelector(strategy='x'), lambda: ActiveLearningSelector(batch_size=0), lambda: get_selector().select_uncertain_examples(['a','b']), lambda: get_selector().select_uncertain_examples([3]),
    lambda: get_selector().select_uncertain_examples([{}]), lambda: get_selector().select_uncertain_examples(['a','b'],logits=np.zeros((3,2))), lambda: get_selector().select_uncertain_examples(['a','b'],logits=np.zeros((2,2)),embeddings=np.zeros((3,2))),
    lambda: get_selector().select_uncertain_examples(['a','b'],logits=np.zeros((2,2)),embeddings=np.zeros((2,2)),labelled=np.zeros((1,3))), lambda: ActiveLearningSelector('semantic_entropy').select_uncertain_examples(['a'],logits=np.zeros((1,2))),
    lambda: ActiveLearningSelector(strategy='badge').select_uncertain_examples([dict(prompt='a',score=1.)]), lambda: candidate(dict(prompt='a',cost=0)), lambda: StreamingSelector(0), lambda: agreement([1],[1,2]), lambda: scores_of([candidate(dict(prompt='a',score=float('nan')))],UncertaintyMethod.ENTROPY)])
def test_what_cannot_be_selected_is_said(wrong):
    with pytest.raises(SelectionError) as e: wrong()
    assert e.value.fix

def test_of_nothing_comes_nothing(): assert get_selector().select_uncertain_examples([])==[] and len(get_selector().select_uncertain_examples(['a'],logits=[[0.,1]]))==1

# --- queue, stream, stop

def test_a_queue_asks_once(db):
    outputs,logits,x = pool(300)
    batch = ActiveLearningSelector(batch_size=6).select_uncertain_examples([o|dict(composition=dict(identity='sha256:9')) for o in outputs],logits,x)
    assert (enqueue(batch,'entropy','acme',db),enqueue(batch,'entropy','acme',db),len(waiting(10,'acme',db)),waiting(10,None,db))==(6,0,6,[])
    first = waiting(1,'acme',db)[0]
    assert isinstance(first,QueueItem) and first.composition=={'identity':'sha256:9'} and first.method=='entropy' and first.priority=='high'
    settle(first.item_id,'answered',db); settle(waiting(1,'acme',db)[0].item_id,'skipped',db)
    assert len(waiting(10,'acme',db))==4 and enqueue(batch,'entropy','acme',db)==0
    for wrong in (('nobody','answered'),(first.item_id,'lost')):
        with pytest.raises(SelectionError): settle(*wrong,db)

def test_a_stream_keeps_its_budget_and_takes_the_unsure():
    rng = np.random.default_rng(0); scores = rng.exponential(size=5000)
    stream = StreamingSelector(.02)
    took = np.array([stream.offer(float(s)) for s in scores])
    assert 50<=took.sum()<=100 and scores[took].mean()>2.5*scores.mean()
    copies = StreamingSelector(1.)
    assert sum(copies.offer(1.,[1.,0,0]) for _ in range(50))==1

def test_agreement_is_cohens_kappa():
    from statsmodels.stats.inter_rater import cohens_kappa, to_table
    rng = np.random.default_rng(1)
    for _ in range(20):
        a,b = rng.integers(3,size=40),rng.integers(3,size=40)
        assert agreement(a,b)==pytest.approx(cohens_kappa(to_table(np.column_stack([a,b]))[0],return_results=False))
    assert agreement([1,1],[1,1])==1

def test_it_stops_when_nothing_changes_any_more():
    rule,rng = Stopping(rounds=2),np.random.default_rng(0)
    for _ in range(5): rule = rule.after(rng.integers(3,size=50))
    assert not rule.stop
    for _ in range(3): rule = rule.after([i%3 for i in range(50)])
    assert rule.stop

def test_a_tenants_queue_hides_nothing_of_anothers(db):
    batch = ActiveLearningSelector('log_perplexity').select_uncertain_examples([dict(prompt='Same?',model_output='o',logprobs=[-1.])])
    assert [enqueue(batch,'entropy',t,db) for t in ('a','b',None,'a')]==[1,1,1,0] and len(waiting(9,'b',db))==1

def test_a_batch_is_full_while_there_are_texts_and_no_text_is_asked_about_twice():
    numbers = [dict(prompt=f'question {i}',model_output='yes',score=1.+i) for i in range(30)]
    assert len(select_for_feedback(numbers))==10 # alike but for a number
    twice = [dict(prompt='same',model_output=f'{"ab"[i%2]}',score=1.,example_id=str(i)) for i in range(40)]
    assert sorted(e.model_output for e in select_for_feedback(twice))==['a','b']

def test_answers_that_differ_in_numbers_only_make_way_for_others():
    calls = [dict(prompt=f'campaign_id={i*7919}\nspend={i/7:.2f}\nobjective={o}',model_output=f'{{"tool":"{o}","spend":{i/7:.2f}}}',score=1.-i/1000) for o in ('curb overspending','probe visibility','retire dud articles') for i in range(50)]
    got = select_for_feedback(calls,batch_size=3)
    assert {e.prompt.rpartition('=')[2] for e in got}=={'curb overspending','probe visibility','retire dud articles'}

@pytest.mark.parametrize('copies', [450,600,1500])
def test_however_many_near_copies_one_is_asked_about(copies):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(copies+1400,32)); x[:copies] = x[0]+rng.normal(0,.01,(copies,32))
    outputs = [dict(example_id=str(i),prompt=f'question {i}',model_output='a',score=1. if i<copies else .95) for i in range(len(x))]
    got = [int(e.example_id) for e in select_for_feedback(outputs,embeddings=x)]
    assert len(got)==10 and sum(i<copies for i in got)==1
    again = [int(e.example_id) for e in ActiveLearningSelector().select_uncertain_examples(outputs,embeddings=x,labelled=x[:5])]
    assert len(again)==10 and not any(i<copies for i in again)
    logits = rng.normal(size=(len(x),6))
    assert not {int(e.example_id) for e in ActiveLearningSelector(strategy='badge').select_uncertain_examples(outputs,logits,x,labelled=x[:100])}&set(range(100))

def test_the_seeds_handle_request():
    "One answer as the engine gives it, under 'output', with the logits of its tokens, also in PyTorch's half precision."

    class Output: text,logprobs,entropy,margin,identity,prompt = 'ok',np.log([.9,.4]),np.array([.3,.7]),np.array([.8,.1]),dict(identity='sha256:1'),[5,6]
    for logits in (np.random.default_rng(0).normal(size=(160,30)),torch.randn(160,30,dtype=torch.bfloat16,requires_grad=True)):
        (e,) = ActiveLearningSelector(method=UncertaintyMethod.ENTROPY).select_uncertain_examples(candidates=[{'example_id':'user_1','prompt':'Allocate','output':Output()}],logits=logits)
        assert (e.example_id,e.prompt,e.model_output,e.composition)==('user_1','Allocate','ok',dict(identity='sha256:1')) and 0<e.uncertainty_score<np.log(30)
    (e,) = select_for_feedback([dict(prompt='Allocate',output=Output())])
    assert e.uncertainty_score==.5 and (e.prompt,e.method)==('Allocate','entropy')
    class Other(Output): prompt = [7]
    assert len({candidate(Output()).example_id,candidate(Other()).example_id})==2 # two questions, one answer

def test_a_committee_of_as_many_members_as_answers():
    logits = np.random.default_rng(0).normal(size=(7,7,4))
    assert scores_of([candidate(str(i)) for i in range(7)],UncertaintyMethod.VARIANCE,logits)==pytest.approx(variance(logits))

def test_the_queue_knows_the_method_and_asks_about_another_answer_of_the_same_user(sqlite):
    one,other = (dict(example_id='user_1',prompt=q,model_output='a',logprobs=[-.5]) for q in ('first','second'))
    for o in (one,one,other,other): enqueue(select_for_feedback([o],'log_perplexity'),db=sqlite)
    assert [(q.prompt,q.method) for q in sorted(waiting(db=sqlite),key=lambda q: q.prompt)]==[('first','log_perplexity'),('second','log_perplexity')]

def test_meanings_are_weighed_by_their_probability():
    same = dict(prompt='q',model_output='a',answers=['a','b','b'])
    plain,weighed = (scores_of([candidate(d)],UncertaintyMethod.SEMANTIC_ENTROPY)[0] for d in (same,same|dict(answer_logprobs=[-.01,-9.,-9.])))
    assert weighed<.1<plain

def test_what_is_given_in_another_form_is_told_from_what_cannot_be(sqlite):
    import polars as pl
    assert select_for_feedback([dict(prompt='q',answer='because',score=1.)],strategy='top')[0].model_output=='because'
    for wrong in (lambda: select_for_feedback(pl.DataFrame(dict(prompt=['q'],score=[1.]))),lambda: select_for_feedback([dict(prompt='q',score=1.)],strength=2),lambda: enqueue([dict(prompt='q')],db=sqlite)):
        with pytest.raises(SelectionError): wrong()

def test_like_scores_hide_no_candidate():
    rng = np.random.default_rng(0)
    w = np.round(rng.random(3000),1)
    for lucky in range(0,3000,251): # All texts are one, but for one
        outputs = [dict(example_id=str(i),prompt='new' if i==lucky else 'same',model_output='a',score=w[i]) for i in range(3000)]
        assert {e.prompt for e in select_for_feedback(outputs,batch_size=2)}=={'new','same'}

def test_two_who_queue_at_once_lose_nothing(db):
    import threading
    batches = [select_for_feedback([dict(example_id=f'{k if i%2 else "both"} {i}',prompt=f'question {"abc"[i%3]*9} {i}',model_output='a',score=1.+i) for i in range(30)],batch_size=30) for k in 'xy']
    new = []
    threads = [threading.Thread(target=lambda b=b: new.append(enqueue(b,db=db))) for b in batches]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sum(new)==45 and len(waiting(100,db=db))==45
