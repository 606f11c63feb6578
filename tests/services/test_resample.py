"services.resample: further answers, and doubts, with a model that answers as it is told to."
import math
from types import SimpleNamespace
import pytest, torch
from rmn_lora.errors import SelectionError
from rmn_lora.services.candidates import candidate, scores_of
from rmn_lora.services.resample import ask_again, doubted

class Model:
    "Says 'sure' to one question, and something else each time to the other; holds 'yes' for four times as likely as 'no'."
    def __init__(self, words=None):
        self.asked,self.cancelled = [],0
        self.compositor = SimpleNamespace(base=SimpleNamespace(tokenizer=lambda w,add_special_tokens: dict(input_ids=[(words or dict(True_=0,yes=1,no=2)).get(w,9)])))
    def submit(self, prompt, **options):
        self.asked.append((prompt,options))
        text = 'sure' if prompt=='known' else f'guess {options.get("seed","likeliest")}'
        answer = SimpleNamespace(text=text,logprobs=torch.tensor([-.1,-.3]),entropy=torch.tensor([.2,.2]),margin=torch.tensor([.5,.5]),identity=dict(identity='x'))
        return SimpleNamespace(result=lambda: answer,cancel=lambda: setattr(self,'cancelled',self.cancelled+1))
    def logits(self, prompt): self.shown = prompt; return torch.log(torch.tensor([[.1,.4,.1]]))

def test_answers_are_what_selection_takes():
    model = Model()
    found = ask_again(model,['known','unknown'],times=4,seed=7,max_new_tokens=9)
    assert [len(set(f['answers'])) for f in found]==[1,4] and [o.get('seed') for _,o in model.asked]==[None,7,8,9,10]*2 and all(o['max_new_tokens']==9 for _,o in model.asked)
    assert list(scores_of([candidate(f) for f in found],'semantic_entropy'))==pytest.approx([0,math.log(4)]) and list(scores_of([candidate(f) for f in found],'self_consistency'))==[0,.75]
    assert scores_of([candidate(found[0])],'log_perplexity')[0]==pytest.approx(.2) and model.cancelled==10

def test_many_questions_are_asked_in_turns(monkeypatch):
    model = Model()
    assert len(ask_again(model,['known']*300,times=5))==300 and len(model.asked)==1800

def test_doubts():
    model = Model()
    assert doubted(model,'q','a',yes='yes',no='no')==pytest.approx(.2) and 'Proposed answer: a' in model.shown[0]['content']
    with pytest.raises(SelectionError, match='same token'): doubted(model,'q','a',yes='x',no='y')

@pytest.mark.parametrize('wrong', [dict(times=1),dict(temperature=0.)])
def test_what_cannot_tell_anything_is_refused(wrong):
    with pytest.raises(SelectionError): ask_again(Model(),['q'],**wrong)
