"""Damage saved models at random, and load them: `python tools/campaigns/damage.py` (2,000 cases).

Every damaged folder must be refused by name, in one line, or load as the very same model (the damage then lay where
nothing is read). A model from elsewhere, which has no list of its files, is damaged only in ways that its tensors and
configuration show. The exit code is 1 if any folder loaded as another model, raised an error that nobody named, or took
longer than 60 seconds. The same seed damages the same folders.
"""

# ruff: noqa: D103  (a damage's name says what it does)
from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from campaign import campaign
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

import howfar
from howfar.errors import HowFarError
from howfar.models.lora import add_lora
from howfar.models.manifest import FOR_READERS

TOKENS = torch.arange(3, 43).view(2, 20)
TIME_LIMIT_SECONDS = 60
Damage = Callable[[Path, random.Random], None]


def run(number: int, seed: int, place: Path) -> Iterator[tuple[str, str]]:
    """Damage a copy of a saved model, and load it."""
    signal.signal(signal.SIGALRM, _out_of_time)
    models = make_models(place)
    expected = {name: logits(folder) for name, folder in models.items()}
    for index in range(number):
        chance = random.Random(seed * 1_000_003 + index)
        name = chance.choice(sorted(models))
        folder = Path(shutil.copytree(models[name], place / "damaged"))
        damage = chance.choice(OF_ANY if name == "from elsewhere" else OF_ANY + OF_LISTED)
        damage(folder, chance)
        outcome, said = what_comes_of_it(folder, expected[name])
        yield outcome, f"{index}: {name}, {damage.__name__}: {said}"
        shutil.rmtree(folder)


def what_comes_of_it(folder: Path, expected: Tensor) -> tuple[str, str]:
    """Load a damaged folder; what came of it, and what was said."""
    signal.alarm(TIME_LIMIT_SECONDS)
    try:
        found = logits(folder)
    except HowFarError as error:
        said = str(error)
        return ("refused by name" if "\n" not in said else "an error that nobody named"), said
    except TimeoutError:
        return "out of time", ""
    except BaseException as error:
        return "an error that nobody named", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    is_same = found.shape == expected.shape and torch.equal(found, expected)
    return ("the same model" if is_same else "another model"), ""


@torch.no_grad()
def logits(folder: Path) -> Tensor:
    """What the model in a folder makes of some tokens."""
    result: Tensor = howfar.load(folder)(TOKENS).logits
    return result


@torch.no_grad()
def make_models(place: Path) -> dict[str, Path]:
    """One folder of each kind that `howfar.load` reads."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes, max_position_embeddings=128)).save_pretrained(place / "base")

    def stirred(*, lora: bool = False, changed: bool = False) -> PreTrainedModel:
        model = howfar.load(place / "base")
        if lora:
            add_lora(model, {"r": 2})
        howfar.attach(model)
        for name, parameter in model.named_parameters():
            if changed or "increments" in name or "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    howfar.save(howfar.load(), place / "from scratch")
    howfar.save(howfar.load(place / "base"), place / "plain")
    howfar.save(stirred(), place / "graft")
    howfar.save(stirred(lora=True), place / "graft with an adapter")
    howfar.save(stirred(changed=True), place / "graft with all weights")
    stirred().save_pretrained(place / "from elsewhere")
    kinds = ("from scratch", "plain", "graft", "graft with an adapter", "graft with all weights", "from elsewhere")
    return {kind: place / kind for kind in kinds}


def a_file(folder: Path, chance: random.Random, pattern: str = "*") -> Path:
    """Any file of a folder that is not for people alone, of this kind if there is one."""
    files = sorted(path for path in folder.iterdir() if path.name not in FOR_READERS)
    return chance.choice([path for path in files if path.match(pattern)] or files)


def flip_a_bit(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def zero_a_half(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))


def replace_a_number(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance, "*.json")
    content = json.loads(path.read_text())
    key = chance.choice(sorted(content))
    content[key] = chance.choice([-1, 0, 1, 7, 10**6, 1e30, None, True, [], {}, "x", "\x1b[31m"])
    path.write_text(json.dumps(content))


def exchange_two_files(folder: Path, chance: random.Random) -> None:
    one, other = a_file(folder, chance), a_file(folder, chance)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def change_a_value(folder: Path, chance: random.Random) -> None:
    rewrite(folder, chance, lambda tensor: tensor * 1.5)


def add_a_file(folder: Path, chance: random.Random) -> None:
    name = chance.choice(["adapter_config.json", "more.safetensors", "generation_config.json", "howfar.json"])
    if not (folder / name).exists():
        (folder / name).write_text("{}")


OF_LISTED: list[Damage] = [
    flip_a_bit, zero_a_half, replace_a_number, exchange_two_files, change_a_value, add_a_file,
]  # fmt: skip
"""Damage that only a list of files shows."""


def cut(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance, "*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def remove(folder: Path, chance: random.Random) -> None:
    a_file(folder, chance, chance.choice(["*.safetensors", "*config.json"])).unlink()


def put_a_pipe(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    path.unlink()
    os.mkfifo(path)


def put_a_folder(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance, "*.safetensors")
    path.unlink()
    path.mkdir()


def put_a_loop(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    path.unlink()
    path.symlink_to(path.name)


def put_no_numbers(folder: Path, chance: random.Random) -> None:
    def damage(tensor: Tensor) -> Tensor:
        tensor.view(-1)[chance.randrange(tensor.numel())] = chance.choice([float("nan"), float("inf"), float("-inf")])
        return tensor

    rewrite(folder, chance, damage)


def put_integers(folder: Path, chance: random.Random) -> None:
    rewrite(folder, chance, lambda tensor: tensor.mul(100).to(chance.choice([torch.int8, torch.int32, torch.uint8])))


def reshape(folder: Path, chance: random.Random) -> None:
    rewrite(folder, chance, lambda tensor: chance.choice([tensor[None], torch.cat([tensor, tensor]), tensor[:-1]]))


def rename_a_tensor(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance, "*.safetensors")
    tensors = load_file(path)
    name = chance.choice(sorted(tensors))
    tensors[chance.choice(["more.increments.x", "\x1b]0;x\x07", "layers.0.x", "", "x" * 5000])] = tensors.pop(name)
    save_file(tensors, path, metadata={"format": "pt"})


def ask_for_the_impossible(folder: Path, chance: random.Random) -> None:
    path = a_file(folder, chance, "*config.json")
    if path.suffix != ".json":
        return
    config = json.loads(path.read_text())
    key = chance.choice(["num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "architectures", "r"])
    values: list[Any] = [-1, 0, 10**6, 10**9, 1e300, [], {}, "many", True]
    if key in config:
        config[key] = chance.choice(values)
    else:
        config["max_position_embeddings"] = chance.choice([[], -1, 10**30, "x"])
    path.write_text(json.dumps(config))


def nest_deeply(folder: Path, chance: random.Random) -> None:
    a_file(folder, chance, chance.choice(["*config.json", "*.json"])).write_text('{"a":' * 10**5)


OF_ANY: list[Damage] = [
    cut, remove, put_a_pipe, put_a_folder, put_a_loop, put_no_numbers, put_integers, reshape, rename_a_tensor,
    ask_for_the_impossible, nest_deeply,
]  # fmt: skip
"""Damage that tensors and configuration show by themselves."""


def rewrite(folder: Path, chance: random.Random, change: Callable[[Tensor], Tensor]) -> None:
    """Change a tensor of a file, and write the file anew as its library does."""
    path = a_file(folder, chance, "*.safetensors")
    tensors = load_file(path)
    name = chance.choice(sorted(tensors))
    tensors[name] = change(tensors[name].clone()).contiguous()
    save_file(tensors, path, metadata={"format": "pt"})


def _out_of_time(number: int, frame: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    campaign("Damage saved models at random, and load them.", 2000, run)
