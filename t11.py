import torch, warnings, sys, shutil, os
warnings.filterwarnings("ignore")
sys.path.insert(0,"/work/main/tests")
from support.models import tiny, stir
import howfar
from howfar.positions import attach, IncrementConfig, record, movable, override
from transformers import DynamicCache, StaticCache
# 1 thread-safety of base config: two models sharing config, detach
m=tiny("llama"); a=attach(m, IncrementConfig(per_head=True))
from transformers import LlamaForCausalLM
n=LlamaForCausalLM(m.config)
print("new model's attn:", n.config._attn_implementation)
x=torch.arange(8)[None]
try:
    n2=LlamaForCausalLM(m.config); b=attach(n2, IncrementConfig(per_head=True)); print("second:", n2.config._attn_implementation)
    with torch.no_grad(): m(x); print("first still ok")
    howfar.detach(n2); print(m.config._attn_implementation, n2.config._attn_implementation)
    try:
        with torch.no_grad(): m(x); print("m ok after detach of n2")
    except Exception as e: print(type(e).__name__, e)
except Exception as e: print(type(e).__name__,str(e)[:200])
# 2 shallow copies / pickles of caches
import copy, pickle
m=tiny("llama"); stir(attach(m)); c=DynamicCache(config=m.config)
with torch.no_grad():
    full=m(torch.arange(10)[None]).logits
    m(torch.arange(6)[None],past_key_values=c); d=copy.deepcopy(c); s=pickle.loads(pickle.dumps(c))
    for k in (c,d,s): print((m(torch.arange(6,10)[None],past_key_values=k).logits-full[:,6:]).abs().max().item())
# 3 packed rows + learned: each doc alone == packed
    pid=torch.tensor([[0,1,2,3,0,1,2,3,4]]); t=torch.arange(9)[None]
    pk=m(t,position_ids=pid,use_cache=False).logits
    print("packed", (pk[:,4:]-m(t[:,4:]).logits).abs().max().item())
# per-layer override mid-cache for shared with StaticCache
    w=tiny("llama"); stir(attach(w,IncrementConfig(scope="shared")))
    c=StaticCache(config=w.config,max_cache_len=32)
    ref=w(torch.arange(10)[None]).logits
    w(torch.arange(4)[None],past_key_values=c)
    y=w(torch.arange(4,10)[None],past_key_values=c).logits
    print("static", (y-ref[:,4:]).abs().max().item())
    c.reset(); w(torch.arange(4)[None],past_key_values=c); print("static reset", (w(torch.arange(4,10)[None],past_key_values=c).logits-ref[:,4:]).abs().max().item())
