"Small random checkpoints and adapters, made on the spot."
import hashlib
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.compositor import get_compositor
from rmn_lora.adapters.manager import AdapterManager

LINEARS = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')
TEMPLATE = ("{% for m in messages %}<start>{{ m['role'] }}\n{{ m['content'] }}<turn>\n{% endfor %}"
            "{% if add_generation_prompt %}<start>assistant\n{% endif %}")


def make_tokenizer(template=TEMPLATE):
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.train_from_iterator(['spend clicks sales campaign product date '] * 9, trainers.BpeTrainer(
        vocab_size=320, special_tokens=['<pad>', '<eos>', '<start>', '<turn>'],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tok = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token='<pad>', eos_token='<eos>',
                                  additional_special_tokens=['<start>', '<turn>'])
    tok.chat_template = template
    return tok


def make_checkpoint(folder, seed=0, template=TEMPLATE, **kw):
    torch.manual_seed(seed)
    config = LlamaConfig(**{**dict(vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=.2, tie_word_embeddings=True,
        max_position_embeddings=512, bos_token_id=None, eos_token_id=1, pad_token_id=0), **kw})
    LlamaForCausalLM(config).save_pretrained(folder)
    make_tokenizer(template).save_pretrained(folder)
    return Path(folder)


def make_adapter(base, folder, seed=0, std=.1, **config):
    "A PEFT adapter with random factors, written by PEFT itself on a fresh copy of the model."
    peft = get_peft_model(type(base.model)(base.model.config), LoraConfig(**{**dict(r=4, lora_alpha=8, target_modules=['q_proj', 'v_proj']), **config}))
    gen = torch.Generator().manual_seed(seed)
    for n, p in peft.named_parameters():
        if 'lora_' in n: p.data.normal_(0, std, generator=gen)
    peft.save_pretrained(folder)
    return Path(folder)


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory): return make_checkpoint(tmp_path_factory.mktemp('base'))


@pytest.fixture(scope='session')
def base(checkpoint): return load_base(checkpoint, device='cpu')


@pytest.fixture(scope='session')
def adapter(base, tmp_path_factory): return make_adapter(base, tmp_path_factory.mktemp('adapter'))


def add_dense(model, folder, config, weight=1.):
    "Add an adapter to the weights of a float64 model, from the numbers it was drawn with and not through PEFT's configuration."
    found = load_file(folder/'adapter_model.safetensors')
    for name, m in model.named_modules():
        last = name.rpartition('.')[2]
        if last not in config['target_modules']: continue
        lora_a, lora_b = (found[f'base_model.model.{name}.lora_{x}.weight'].double() for x in 'AB')
        r, alpha = config['rank_pattern'].get(last, config['r']), config['alpha_pattern'].get(last, config['lora_alpha'])
        m.weight.data += weight*alpha/(r**.5 if config['use_rslora'] else r)*lora_b@lora_a


def fingerprint(model):
    "A hash of the class of every layer, its hooks, and every byte of the state."
    h = hashlib.sha256()
    for n, m in model.named_modules(): h.update(f'{n} {type(m).__name__} {len(m._forward_hooks)} {len(m._forward_pre_hooks)} {m.training}'.encode())
    for n, p in model.named_parameters(): h.update(f'{n} {p.requires_grad}'.encode())
    for n, t in model.state_dict().items(): h.update(n.encode()+t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


def tree(root): return sorted(p.relative_to(root).as_posix() for p in root.rglob('*'))


def fill(store, base, root, many=6, **config):
    "Adapters retail, amazon, walmart, brand, planning, mapping; the first two have a second version that no name means."
    names = dict(retail='industry', amazon='retailer', walmart='retailer', brand='brand', planning='task', mapping='task')
    versions = {}
    for i, (id, kind) in enumerate(list(names.items())[:many]):
        for k in (1, 2):
            folder = make_adapter(base, root/f'{id}{k}', seed=10*i + k, std=.12, **{**dict(r=(4, 8, 3, 20, 16, 5)[i], lora_alpha=8, target_modules=list(LINEARS)[i % 3:]), **config})
            versions[f'{id}{k}'] = store.publish(folder, id, kind, base=base, move=k == 1)
    return versions


def agrees(compositor, prompt, out, models=None):
    "The largest difference between what an answer's tokens were worth when it was given, and what they are worth under the identity it reports (or under other models)."
    model = models or compositor.compose_sync([a['version'] for a in out.identity['adapters']], *(['weighted'] if (w := [a['weight'] for a in out.identity['adapters']]) != [1.]*len(w) else []), **({'weights': w} if w != [1.]*len(w) else {}))
    if models is None: assert model.identity['identity'] == out.identity['identity']
    if not out.tokens: return 0.
    again = model.logits(prompt, out.tokens)[:-1].log_softmax(-1).gather(1, torch.tensor(out.tokens)[:, None])[:, 0]
    return (again - out.logprobs).abs().max().item()


def _lend(function):
    "A fixture that hands `function` to tests (test files cannot import each other here)."
    return pytest.fixture(scope='session', name=function.__name__)(lambda: function)



lend_checkpoint, lend_adapter, lend_dense, lend_fingerprint, lend_tree, lend_agrees, lend_fill = map(_lend, (make_checkpoint, make_adapter, add_dense, fingerprint, tree, agrees, fill))


@pytest.fixture
def manager(base, checkpoint, tmp_path):
    m = AdapterManager(checkpoint, tmp_path/'store', device='cpu')
    m.versions = fill(m.store, base, tmp_path/'made')
    yield m
    if m.compositor: m.compositor.close()


@pytest.fixture
def compositor(manager): return get_compositor(manager)
