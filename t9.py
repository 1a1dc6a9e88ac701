import torch, warnings
warnings.filterwarnings("ignore")
# real accelerate: does dispatch_model hook the network inside a block? two devices simulated by names only
from accelerate.hooks import attach_align_device_hook_on_blocks
import sys; sys.path.insert(0,"/work/main/tests")
from support.models import tiny
from howfar.positions import attach
m=tiny("llama"); attach(m)
dm={"model.embed_tokens":"cpu","model.layers.0":"cpu","model.layers.1":torch.device("xpu:0"),"model.norm":"cpu","model.rotary_emb":"cpu","lm_head":"cpu"}
import accelerate.hooks as h
orig=torch.nn.Module.to
torch.nn.Module.to=lambda s,*a,**k:s
h.set_module_tensor_to_device=lambda *a,**k:None
attach_align_device_hook_on_blocks(m, execution_device=dm, offload={k:False for k in dm})
print([n for n,p in m.named_modules() if hasattr(p,"_hf_hook")])
