"""A report: all measures of some models, each with its chart and, if there are any, the published figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.charts.outputs import write_table
from howfar.errors import ConfigError, HowFarError, OutputError
from howfar.files import write_file
from howfar.inputs import public_names
from howfar.measures.declaration import Measure
from howfar.measures.inputs import Inputs
from howfar.measures.registry import MEASURES, measure_named
from howfar.models.increments import increment_config
from howfar.models.loading import choose_mark, load
from howfar.reports.published import beside_published, kind_of
from howfar.text.marks import name_with_mark

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

    from howfar.progress import Progress

Watch = Callable[[str], "Progress"]
"""Called with the next task's name; returns the progress callback for it."""


NO_MODEL = {"made-up text": None}
"""Replaces the models for a measure that trains its own."""


OF_PLAIN = "{name} measures learned increments, and this model has plain positions; name a model with increments"
"""The reason why a measure is missing if all models have plain positions."""


@dataclass(frozen=True)
class Section:
    """One measure of one model.

    Attributes:
        model: The model's name.
        mark: The document mark that it read, if that is not simply what its tokenizer puts before a text.
        measure: The measure.
        of: The variant, if the same measure is taken of several things.
        inputs: Its inputs.
        table: Its table; None if it could not be measured.
        missing: The reason if not.
        beside: The published figures beside those of the table, if there are any.
    """

    model: str
    mark: str | None
    measure: Measure
    of: str
    inputs: Inputs
    table: pl.DataFrame | None = None
    missing: str = ""
    beside: pl.DataFrame | None = None

    @property
    def title(self) -> str:
        """The measure's name and its variant."""
        return f"{self.measure.name} ({self.of})" if self.of else self.measure.name

    @property
    def source(self) -> str:
        """One line that describes the table."""
        assert self.table is not None
        return self.measure.source(self.table, name_with_mark(self.model, self.mark), self.inputs)


@dataclass(frozen=True)
class Report:
    """The results.

    Attributes:
        models: Names of the models.
        sections: Measure by measure, model by model.
    """

    models: tuple[str, ...]
    sections: tuple[Section, ...]

    def save(self, path: str | Path) -> None:
        """Write one web page that needs no network; completely or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        from howfar.reports.page import html

        write_file(path, html(self))

    def save_tables(self, folder: str | Path) -> list[Path]:
        """Write each section's table as Parquet; returns the files.

        Raises:
            OutputError: One cannot be written.
        """
        try:
            Path(folder).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be created ({error.strerror}); name another one") from error
        paths = []
        short = {model: Path(model).name for model in self.models}
        if len(set(short.values())) < len(short):  # their folders tell them apart
            short = {model: re.sub(r"[\\/:]+", "-", model).strip("-") for model in self.models}
        for section in self.sections:
            if section.table is not None:
                words = f"{short.get(section.model, section.model)} {section.title}".replace("(", "").replace(")", "")
                paths.append(Path(folder, "-".join(words.split()) + ".parquet"))
                write_table(section.table, paths[-1])
        return paths


def report(
    models: Sequence[str],
    inputs: Inputs,
    *,
    measures: Sequence[str] | None = None,
    mark: int | str | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Report:
    """Take all measures of some models.

    Models without increments among them are the ones that the other models' losses are compared with.

    Args:
        models: Bundled models, folders or Hub ids.
        inputs: What to measure on; each measure uses what it can.
        measures: Names of measures; None for all that measure a model, which `calibration` does not.
        mark: The document mark of the models, as for `howfar.models.loading.choose_mark`.
        watch: Called before each measure with its name and the model's.
        **options: Passed to `howfar.load`: `device`, `dtype`, `device_map`, `attn_implementation`.

    Raises:
        ConfigError: There is no model, or a measure does not exist.
        ModelNotFoundError: A model does not exist.
        TextError: A model's tokenizer has no such mark.
    """
    of_models = [measure for measure in MEASURES.values() if measure.of_model]
    chosen = of_models if measures is None else [measure_named(name) for name in measures]
    if not models:
        raise ConfigError("a report needs a model; name a bundled one, a folder or a Hub id")
    loaded = {name: load(name, **options) for name in models}
    labels = dict(zip(models, public_names(models), strict=True))
    marks = {name: choose_mark(model, mark) for name, model in loaded.items()}
    plain = [name for name, model in loaded.items() if increment_config(model) is None]
    inputs = replace(inputs, against=plain or inputs.against)
    sections = []
    for measure in chosen:
        usable = inputs.only(measure.uses)
        # Without any variant, the measure itself says what it needs.
        for of, given in list(measure.variants(usable)) or [("", usable)]:
            for model_name, model in (loaded if measure.of_model else NO_MODEL).items():
                section = Section(labels.get(model_name, model_name), marks.get(model_name), measure, of, given)
                if model_name in plain and not measure.of_plain:
                    if measures is not None and len(plain) == len(loaded):  # nobody asked to compare with it
                        sections.append(replace(section, missing=OF_PLAIN.format(name=measure.name)))
                    continue
                progress = watch(f"{section.title} of {model_name}") if watch else None
                sections.append(_measured(section, model, progress))
    return Report(tuple(labels.values()), tuple(sections))


def _measured(section: Section, model: PreTrainedModel | None, progress: Progress | None) -> Section:
    try:
        table = section.measure.take(model, section.inputs, progress)
    except HowFarError as error:  # one refusal does not cost the other sections
        return replace(section, missing=str(error))
    if model is None:
        return replace(section, table=table)
    encoding = getattr(model.config, "encoding", None) or {}
    kind = kind_of(increment_config(model), encoding.get("name"))
    beside = None if kind is None else beside_published(section.measure.name, table, kind)
    return replace(section, table=table, beside=beside)
