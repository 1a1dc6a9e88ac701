"""What `torch.compile` has to know of a model whose positions are moved by hooks."""

from __future__ import annotations

import torch


def notice_hooks() -> None:
    """Let compiled code notice whether a module has hooks.

    By default, code that was compiled for a model without hooks also runs other models of its class, whose increments
    it would ignore. Code that was compiled before is compiled again, since it would go on doing so.

    Source:
        `skip_nnmodule_hook_guards` in `torch._dynamo.config`.
    """
    if torch._dynamo.config.skip_nnmodule_hook_guards:
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        torch.compiler.reset()
