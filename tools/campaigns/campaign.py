"""What the campaigns share: a tiny model, the command line in this process or another, and what came of a call."""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

GOOD = frozenset(
    {
        "done",
        "refused by name",
        "resumed to the same bytes",
        "one done, one refused by name",
        "both the same",
        "the same model",
    }
)
SOURCE = ["--source", "a.txt", "--held-out-documents", "10"]
_count = itertools.count()


def campaign(description: str, number: int, run: Callable[[int, int, Path], Iterator[tuple[str, str]]]) -> None:
    """Run cases, count what came of them, and exit with 1 if any is not as promised; SIGTERM ends it with the counts.

    Args:
        description: What is tried.
        number: How many cases there are where `--number` does not say.
        run: Gives a case's outcome and what to say of it, from the number of cases, the seed and a folder.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--number", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, counts = time.monotonic(), Counter[str]()
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.append(number))
    with tempfile.TemporaryDirectory() as folder:
        for outcome, case in run(options.number, options.seed, Path(folder)):
            counts[outcome] += 1
            if outcome not in GOOD:
                print(f"{outcome}: {case}", flush=True)
            if told_to_end:
                break
    print(json.dumps({"cases": counts.total(), **counts, "seconds": round(time.monotonic() - begun)}))
    sys.exit(any(outcome not in GOOD for outcome in counts))


def tiny_model(folder: Path) -> Path:
    """Save a model whose increments vary strongly."""
    import torch

    from howfar.models.configuration import HowFarConfig
    from howfar.models.loading import save
    from howfar.models.modeling import HowFarForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = HowFarConfig(**sizes, max_position_embeddings=64, initializer_range=0.4, increments={"start": "random"})
    save(HowFarForCausalLM(config).eval(), folder / "tiny")
    return folder / "tiny"


def outcome_of(code: int, errors: str) -> str:
    """What came of a call, by its exit code and what it said."""
    if code == 0:
        return "done"
    lines = errors.strip().splitlines()
    if code == 2 and lines and lines[-1].startswith("error: ") and "howfar --debug" not in lines[-1]:
        return "refused by name" if "Traceback" not in errors else "traceback"
    return "traceback" if "Traceback" in errors else "unnamed error"


def call(*arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; gives the exit code and both outputs."""
    from howfar.cli import main

    output, errors, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["howfar", *arguments]
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    return code, output.getvalue(), errors.getvalue()


def _command(arguments: list[str], folder: Path, errors: Path) -> None:
    os.chdir(folder)
    for number in (1, 2):
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    from howfar.cli import main

    sys.argv = ["howfar", *arguments]
    main()


class Command:
    """The command line in a process of its own, forked from one that has imported what it needs.

    Args:
        arguments: Of the command.
        folder: Where it runs.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["howfar.cli", "howfar.training.graft_run", "howfar.training.run"])
        self._errors = folder / f"said-{next(_count)}.txt"
        self._process = context.Process(target=_command, args=(arguments, folder, self._errors), daemon=True)
        self._process.start()

    def kill(self) -> None:
        """End it as the system would, at once."""
        self._process.kill()
        self._process.join()

    def ended(self, seconds: float = 600) -> tuple[int, str]:
        """The exit code and what it said; what takes longer is killed, and has the code of that."""
        self._process.join(seconds)
        self.kill()
        return self._process.exitcode or 0, self._errors.read_text(encoding="utf-8")


def works(folder: Path, documents: int) -> dict[str, list[str]]:
    """Make what a corpus is built of, a model trained on and a graft made of; gives each command but for its output."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from howfar.text.tokenizer import VOCABULARY_SIZE, byte_tokenizer

    chance = random.Random(0)
    text = (f"document {index} " + "words and more words " * chance.randrange(40) for index in range(documents))
    (folder / "a.txt").write_text("\n\n".join(text), encoding="utf-8")
    code, said = Command(["corpus", "build", "trained-on", *SOURCE], folder).ended()
    assert code == 0, said
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY_SIZE, **sizes)).save_pretrained(folder / "base")
    byte_tokenizer().save_pretrained(folder / "base")
    lines = ['kind = "scratch"', 'name = "tiny"', "[model]", "max_position_embeddings = 32"]
    lines += [f"{name} = {value}" for name, value in sizes.items()]
    lines += ["[increments]", 'scope = "per_layer"', "[trainer]", "max_steps = 12", "save_steps = 2"]
    lines += ["save_total_limit = 1", "per_device_train_batch_size = 4", "learning_rate = 1e-2", "use_cpu = true"]
    (folder / "tiny.toml").write_text("\n".join(lines), encoding="utf-8")
    often = ["trainer.save_steps=2", "trainer.save_total_limit=1", "trainer.use_cpu=true", "trainer.bf16=false"]
    settings = [word for value in (*often, "held_out_windows=4") for word in ("--set", value)]
    graft = ["graft", "base", "--corpus", "trained-on", "--steps", "8", "--context", "32", *settings, "-o"]
    return {
        "corpus": ["corpus", "build", *SOURCE],
        "train": ["train", "tiny.toml", "--corpus", "trained-on", "-o"],
        "graft": graft,
    }


def result_of(folder: Path) -> str:
    """A digest of what a command made, but for what depends on the clock."""
    from howfar.corpus.corpus import MANIFEST, Corpus

    if (folder / MANIFEST).is_file():
        corpus = Corpus.open(folder)
        corpus.verify()
        return corpus.hash
    made = sorted([*folder.glob("*.safetensors"), folder / "training.json"])
    log = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    losses = [(entry.get("step"), entry.get("loss")) for entry in log]
    return hashlib.sha256(b"".join(path.read_bytes() for path in made) + json.dumps(losses).encode()).hexdigest()
