import torch, warnings, sys, shutil, os
warnings.filterwarnings("ignore")
sys.path.insert(0,"/work/main/tests")
from support.models import tiny, stir
import howfar, inspect
from howfar.positions import attach, IncrementConfig, record, movable, override
from transformers import DynamicCache, StaticCache
# sinks / attention watch for per-head etc: compare sdpa weights with eager
from howfar.reading.watch import watch
for name in ("llama","gemma2","gpt_oss","gemma3_text"):
  for cfg in (IncrementConfig(),IncrementConfig(per_head=True)):
    try:
        w=tiny(name); inc=stir(attach(w,cfg)); L=inc.layer_indices
        x=torch.randint(0,60,(2,12))
        got={}
        for impl in ("eager","sdpa"):
            try: w.set_attn_implementation(("howfar_" if cfg.per_head else "")+impl)
            except Exception as e: print(name,impl,type(e).__name__,str(e)[:80]); continue
            with torch.no_grad(), watch(w,L,attention=True,residuals=False) as r: w(x,use_cache=False)
            got[impl]=(torch.stack([r.attention[l] for l in L]), [r.visible[l].expand_as(r.attention[l]) for l in L])
        if len(got)==2: print(name,cfg.per_head,(got["eager"][0]-got["sdpa"][0]).abs().max().item(), all(torch.equal(a,b) for a,b in zip(got["eager"][1],got["sdpa"][1])))
    except Exception as e: print(name,cfg.per_head,type(e).__name__,str(e)[:200])
