"""Make a bundled model out of a finished training run.

    python tools/bundle.py RUN NAME --held-out CORPUS

The weights are rounded to float16 (increment networks stay float32); the loss that the model card states is measured
with the rounded weights, on all held-out documents of CORPUS, which the run must not have been tuned on. Where RUN was
unpacked by `train_recipes.py`, the losses lie in it already and no corpus is needed. Without a corpus, any other run
keeps the loss that was measured when its training ended, and the card says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

import howfar
from howfar.corpus.corpus import Corpus
from howfar.errors import NoIncrementsError
from howfar.measures.statistics import ratio
from howfar.models.bundled import FOLDER
from howfar.models.manifest import write_manifest
from howfar.training.checkpoints import read_record, write_record
from howfar.training.evaluation import DocumentLosses, document_losses

LOSSES = "document_losses.json"
LANGUAGES = {"en": "English", "zh": "Chinese"}
"""Of a corpus's sources."""
CARD = """---
license: apache-2.0
language: [{codes}]
library_name: howfar
pipeline_tag: text-generation
datasets: [{languages} Wikipedia]
---

# {name}

{description}

| | |
|---|---|
| parameters | {parameters:,} |
| sizes | width {width}, {layers} layers, {heads} heads, {context} bytes of context |
| increments | {increments} |
| trained on | {seen:.1f} MB of text, {languages}{balance}{times}, seed {seed} |
| loss on held-out documents | {loss} |
| weights | float16, the increment networks float32; Apache-2.0 |
| text | CC BY-SA 4.0, the authors of Wikipedia |

The loss is over {documents} whole documents ({megabytes:.2f} MB) of articles that were not trained on. {how}
`training.json` holds the recipe, the corpus's hash and all versions.

Use: `howfar show --model {name} "text"`, or `howfar.load("{name}")`. It is an instrument
for looking at positions, and far too small to be believed in anything that it writes.
"""

MEASURED_HERE = "The interval is a 95%\nbootstrap over documents. Measured by `{command}`."
MEASURED_BY_TRAINING = (
    "It was\nmeasured when training ended, before rounding, on text that was also scored while training."
)


def main() -> None:
    """Read the arguments, bundle the model, print its loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--held-out", type=Path, help="corpus to score on")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="to score on")
    arguments = parser.parse_args()

    folder = FOLDER / arguments.name
    model = howfar.load(arguments.run).to(torch.float16)  # before the old one goes
    record = read_record(arguments.run)
    shutil.rmtree(folder, ignore_errors=True)
    howfar.save(model, folder)
    (folder / "log.json").unlink(missing_ok=True)  # stays with the run
    write_manifest(folder)
    model = howfar.load(folder)
    losses: DocumentLosses | None = None
    if (arguments.run / LOSSES).is_file():
        losses = read_losses(arguments.run / LOSSES)
    elif arguments.held_out:
        held_out = Corpus.open(arguments.held_out).held_out
        length = model.config.max_position_embeddings
        losses = document_losses(model.to(arguments.device), held_out, length=length)

    if losses is not None:
        record["held_out"] = losses.summary()
    # Where the text lay on the machine that trained is nobody's business.
    record["recipe"]["corpus"] = Path(record["recipe"]["corpus"]).name
    record["corpus"]["sources"] = [
        {key: source[key] for key in ("name", "train", "held_out", "dropped")} for source in record["corpus"]["sources"]
    ]
    write_record(folder, record)
    command = f"python tools/bundle.py RUN {arguments.name}" + (" --held-out CORPUS" if losses else "")
    (folder / "card.md").write_text(card(arguments.name, model, record, losses, command), encoding="utf-8")
    print(json.dumps(record["held_out"], indent=1))


def card(name: str, model: Any, record: dict[str, Any], losses: DocumentLosses | None, command: str) -> str:
    """The model card."""
    config, recipe = model.config, record["recipe"]
    held_out = record["held_out"]
    parts = ", ".join(f"{source} {nats:.4f}" for source, nats in held_out["nats_per_byte_by_source"].items())
    loss, how = f"{held_out['nats_per_byte']:.4f} nats/byte ({parts})", MEASURED_BY_TRAINING
    if losses is not None:
        estimate = ratio(losses.nats, losses.num_bytes)
        loss = f"{estimate.value:.4f} nats/byte [{estimate.low:.4f}, {estimate.high:.4f}] ({parts})"
        how = MEASURED_HERE.format(command=command)
    codes = [source["name"] for source in record["corpus"]["sources"]]
    languages = [LANGUAGES[code] for code in codes]
    seen = record["step"] * record["windows_per_step"] * config.max_position_embeddings
    text = sum(source["train"]["bytes"] for source in record["corpus"]["sources"])
    return CARD.format(
        name=name,
        codes=", ".join(codes),
        languages=" and ".join(languages),
        balance=" in equal parts of bytes" if len(codes) > 1 else "",
        description=describe(model, "bilingual" if len(codes) > 1 else languages[0]),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        context=config.max_position_embeddings,
        increments=", ".join(f"{key} {value}" for key, value in (recipe["increments"] or {"none": ""}).items()),
        seen=seen / 1e6,
        times=f" ({text / 1e6:.0f} MB, read {seen / text:.1f} times)" if seen > text else "",
        seed=recipe["seed"],
        loss=loss,
        documents=held_out["documents"],
        megabytes=held_out["bytes"] / 1e6,
        how=how,
    )


def read_losses(file: Path) -> DocumentLosses:
    """The losses by document that `train_recipes.py` measured with the rounded weights."""
    losses = json.loads(file.read_text(encoding="utf-8"))
    nats, num_bytes = (np.array(losses[name], dtype=np.float64) for name in ("nats", "bytes"))
    return DocumentLosses(nats, num_bytes, np.array(losses["sources"]), tuple(losses["source_names"]))


def describe(model: Any, kind: str) -> str:
    """What the model is, in one sentence."""
    try:
        scope = howfar.increments_of(model).config.scope
    except NoIncrementsError:
        return f"A small {kind} byte model with plain rotary positions: what the others are compared with."
    if scope == "shared":
        return f"A small {kind} byte model whose layers all share one set of learned positions."
    return f"A small {kind} byte model in which each layer learns its own positions."


if __name__ == "__main__":
    main()
