"""Train a model: the shared training loop, and training from scratch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    default_data_collator,
    set_seed,
)

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, HowFarError, OutputError
from howfar.locks import one_at_a_time
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.training import starting
from howfar.training.arithmetic import sound_arithmetic
from howfar.training.attention import maskless_attention
from howfar.training.checkpoints import (
    LOCK,
    check_folder,
    last_complete_checkpoint,
    step_of,
)
from howfar.training.console import Console
from howfar.training.data import ResidentWindows, TrainingWindows, only_batch
from howfar.training.finished import SoFar
from howfar.training.finishing import write
from howfar.training.recipe import BaseRecipe, Recipe
from howfar.training.runs import Run, refused_by
from howfar.training.termination import Termination
from howfar.training.trainer import IncrementTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def train(
    recipe: Recipe, output: str | Path, *, callbacks: Sequence[TrainerCallback] = (), progress: bool = True
) -> HowFarForCausalLM:
    """Train a model from scratch, or continue an interrupted run.

    Args:
        recipe: The model, the data, and the training options.
        output: Folder of the run: checkpoints during training, the model at the end.
        callbacks: More callbacks for Transformers' Trainer; `on_save` is called when a checkpoint is complete.
        progress: Whether to write progress to standard error.

    Returns:
        The trained model, in eval mode.

    Raises:
        CheckpointError: The folder holds another run, or a checkpoint or the model to start from is damaged.
        ConfigError: This machine refuses the trainer's options, or the model to start from has another shape.
        CorpusError: The corpus is missing, damaged, or shorter than a window, or its tokenizer is not there any more.
        InUseError: Another process trains in the folder.
        OutputError: The folder cannot be written.
    """
    corpus, config = Corpus.open(recipe.corpus), recipe.model_config()
    tokenizer = starting.tokenizer_of_corpus(corpus, config.vocab_size)
    config.bos_token_id = config.eos_token_id = corpus.end_of_document
    set_seed(recipe.seed)
    model = _make_model(config)
    starting.fill_table(model)
    started = None if recipe.start_from is None else starting.start_from(model, recipe.start_from)
    model.config.pad_token_id = tokenizer.pad_token_id  # the Trainer would do this with a warning
    run = Run(
        recipe=recipe,
        corpus=corpus,
        output=Path(output),
        length=config.max_position_embeddings,
        start_from=started,
    )
    with maskless_attention(model):
        fit(run, model, tokenizer, callbacks=callbacks, progress=progress)
    return model.eval()


def _make_model(config: HowFarConfig) -> HowFarForCausalLM:
    try:
        return HowFarForCausalLM(config)
    except HowFarError:
        raise
    except Exception as error:  # whatever Transformers and PyTorch raise for a value, or for too little memory
        raise ConfigError(f"recipe: [model] cannot be made: {type(error).__name__}: {error}; change it") from error


def fit(
    run: Run[BaseRecipe],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    trainer_class: type[IncrementTrainer] = IncrementTrainer,
    max_held_out_windows: int | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Train any model in place, or continue an interrupted run.

    A run that is killed at any moment resumes from its newest complete checkpoint, and ends bit for bit as without
    the interruption (on the same hardware and thread count). A larger `max_steps` continues it beyond its end. A
    finished run is not trained, scored or written again; the model takes its weights. After SIGTERM a run first
    saves a checkpoint, and exits with code 143; after Ctrl-C it first saves one, and raises KeyboardInterrupt. A
    second Ctrl-C ends it at once.

    Args:
        run: The training options, the data, and the folder: checkpoints during training, the model at the end.
        model: A model with or without increments. The caller seeds any randomness in making it.
        tokenizer: The corpus's tokenizer, written beside the model.
        trainer_class: Overrides how checkpoints are saved and loaded.
        max_held_out_windows: Score at most this many held-out windows at the end.
        callbacks: More callbacks for Transformers' Trainer; `on_save` is called when a checkpoint is complete.
        progress: Whether to write progress to standard error.

    Returns:
        The contents of `training.json`.

    Raises:
        CheckpointError: The folder holds another run, or no step is left to use other settings.
        ConfigError: This machine refuses the trainer's options.
        CorpusError: The corpus is shorter than a window.
        InUseError: Another process trains in the folder.
        OutputError: The folder cannot be written, or holds something else.
    """
    output = run.output
    check_folder(output)
    with folder_of_run(output), Console(run.recipe.name, visible=progress) as console:
        so_far = SoFar.of(run)
        termination = Termination(run.arguments)
        trainer = _make_trainer(trainer_class, run, model, tokenizer, [console, termination, *callbacks])
        if so_far.finished is not None:
            trainer.take(output)
            console.say_finished(run.arguments.max_steps)
            return so_far.finished
        with termination:
            start = str(so_far.checkpoint) if so_far.checkpoint else None
            with sound_arithmetic(run.arguments.device):
                termination.or_leave(lambda: trainer.train(resume_from_checkpoint=start))
            held_out = termination.or_leave(lambda: trainer.score(max_held_out_windows))
            if termination.requested:
                if trainer.state.global_step > step_of(last_complete_checkpoint(output)):
                    trainer.save_after_training()  # it ended, and save_strategy saved something else
                console.say_stopped(step_of(last_complete_checkpoint(output)))
                termination.end()
            record = so_far.used(run.record(step=trainer.state.global_step, held_out=held_out))
            write(trainer, record, output)
            if termination.interrupted:  # while the model was written
                console.say_stopped(trainer.state.global_step)
                termination.end()
    return record


@contextmanager
def folder_of_run(path: Path) -> Iterator[None]:
    """Make a run's folder and lock it against other processes; after an error, a new, empty folder is removed.

    Raises:
        InUseError: Another process trains there.
        OutputError: The folder cannot be made or locked.
    """
    is_first = int(os.environ.get("RANK", "0")) == 0  # the ranks of one run share its folder
    with ExitStack() as stack:
        try:
            stack.enter_context(new_folders(path))
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be created ({error.strerror}); name another one") from None
        if is_first:
            stack.enter_context(one_at_a_time(path / LOCK, guards=path))
        yield


@contextmanager
def new_folders(path: Path) -> Iterator[None]:
    """If the block fails, remove the folders on the way to a path that it made, as far as they are empty."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty: it holds something to keep
            for place in missing:
                if place.exists():
                    place.rmdir()
        raise


def _make_trainer(
    kind: type[IncrementTrainer],
    run: Run[BaseRecipe],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    callbacks: list[TrainerCallback],
) -> IncrementTrainer:
    arguments, resident = run.arguments, run.recipe.resident
    drawn = (run.corpus.train, run.length, run.recipe.seed, arguments.max_steps * run.windows_per_step)
    with refused_by("Transformers"):
        trainer = kind(
            run=run,
            model=model,
            processing_class=tokenizer,
            train_dataset=ResidentWindows(*drawn, arguments.device) if resident else TrainingWindows(*drawn),
            # All windows have the same length, so a collator has nothing to pad.
            data_collator=only_batch if resident else default_data_collator,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback if arguments.disable_tqdm else ProgressCallback)
    return trainer
