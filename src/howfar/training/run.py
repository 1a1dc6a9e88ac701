"""Train a model from a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainingArguments, set_seed

from howfar.errors import ConfigError, CorpusError
from howfar.models.modeling import HowFarForCausalLM
from howfar.text.corpus import Corpus
from howfar.text.tokenizer import byte_tokenizer
from howfar.training.checkpoints import check_same_run, last_complete_checkpoint, training_record, write_record
from howfar.training.data import TrainingWindows
from howfar.training.evaluation import document_losses
from howfar.training.recipe import Recipe
from howfar.training.trainer import IncrementTrainer, RecordCallback


def train(recipe: Recipe, output: str | Path) -> HowFarForCausalLM:
    """Train a model, or carry on a run that was interrupted.

    A run that is killed at any moment resumes from its newest whole checkpoint, and ends bit for bit as if it had not
    been interrupted (on the same hardware and thread count).

    Args:
        recipe: What to train, on what, and how.
        output: Folder of the run: checkpoints on the way, the model at the end.

    Returns:
        The trained model, in eval mode.

    Raises:
        CheckpointError: The folder holds another run.
        ConfigError: The trainer's options cannot be had here.
        CorpusError: The corpus is missing, damaged, or tokenized otherwise.
    """
    output = Path(output)
    corpus = Corpus.open(recipe.corpus)
    if corpus.tokenizer_name != "bytes":
        raise CorpusError(
            f"the corpus in {recipe.corpus} is tokenized by {corpus.tokenizer_name!r}, a model from scratch reads bytes; "
            "build the corpus without --tokenizer"
        )
    checkpoint = last_complete_checkpoint(output)
    if checkpoint is not None:
        check_same_run(checkpoint, recipe, corpus)
    arguments = training_arguments(recipe, output)
    set_seed(recipe.seed)
    model = HowFarForCausalLM(recipe.model_config())
    facts = training_record(recipe, corpus)
    length = model.config.max_position_embeddings
    windows_per_step = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    trainer = IncrementTrainer(
        model=model,
        args=arguments,
        corpus=corpus,
        length=length,
        train_dataset=TrainingWindows(corpus.train, length, recipe.seed, arguments.max_steps * windows_per_step),
        processing_class=byte_tokenizer(),
        callbacks=[RecordCallback(facts)],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.save_model(str(output))
    if trainer.is_world_process_zero():
        write_record(output, {**facts, "step": trainer.state.global_step, "held_out": _held_out(model, corpus, length)})
        (output / "log.json").write_text(json.dumps(trainer.state.log_history, indent=1) + "\n", encoding="utf-8")
    return model.eval()


def training_arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    """The trainer's options; data order is the recipe's.

    Raises:
        ConfigError: Transformers refuses one of them.
    """
    options: dict[str, Any] = {"include_num_input_tokens_seen": "all", **recipe.trainer}
    try:
        return TrainingArguments(
            **options,
            output_dir=str(output),
            seed=recipe.seed,
            train_sampling_strategy="sequential",
        )
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"recipe: [trainer] cannot be had: {' '.join(str(error).split())}") from error


def _held_out(model: HowFarForCausalLM, corpus: Corpus, length: int) -> dict[str, Any]:
    if not corpus.held_out.num_documents:
        return {}
    losses = document_losses(model, corpus.held_out, length=length)
    by_source = {}
    for index, name in enumerate(losses.source_names):
        chosen = losses.sources == index
        if chosen.any():
            by_source[name] = float(losses.nats[chosen].sum() / losses.num_bytes[chosen].sum())
    return {
        "documents": len(losses.nats),
        "bytes": int(losses.num_bytes.sum()),
        "nats_per_byte": losses.nats_per_byte,
        "nats_per_byte_by_source": by_source,
    }
