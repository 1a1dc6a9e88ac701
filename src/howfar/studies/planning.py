"""From a study's specification to its runs: each a checked recipe, addressed by what determines its result."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from howfar.corpus.corpus import Corpus
from howfar.errors import StudyError
from howfar.models.bundled import bundled_models
from howfar.models.manifest import sha256_of_weights
from howfar.studies.runs import PlannedRun
from howfar.studies.specification import BEYOND_RECIPES, PARAMETER_MATCHED, RECIPE, Specification
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.recipe import Recipe
from howfar.training.recipe_files import GRAFT, SCRATCH, read_values
from howfar.training.settings import Options, full_path, put

ADDRESS_LENGTH = 12  # hexadecimal digits: of 10^8 studies with 1,000 runs each, one has two equal addresses
ORDER_LENGTH = 6

RATE = "increment_learning_rate"

CLASSES: dict[str, type[Recipe] | type[GraftRecipe]] = {SCRATCH: Recipe, GRAFT: GraftRecipe}


def plan(specification: Specification, versions: Mapping[str, str]) -> list[PlannedRun]:
    """Make and check the recipes of all runs. Only the manifests of corpora are read.

    Args:
        specification: What is asked for.
        versions: Versions of the packages that affect a result.

    Raises:
        ConfigError: A recipe is invalid, or an axis names a key that no recipe has.
        CorpusError: A corpus does not exist.
        StudyError: Two axes set the same value, or two runs are the same.
    """
    base = functools.cache(functools.partial(_base, specification))
    corpus_hash = functools.cache(lambda folder: Corpus.open(folder).hash)
    weights_hash = functools.cache(sha256_of_weights)
    runs: dict[str, PlannedRun] = {}
    rate = specification.settings.get(RATE)
    for chosen in specification.choices():
        values, options = copy.deepcopy(base(chosen.get(RECIPE, specification.recipe)))
        for key, value in chosen.items():
            if key not in BEYOND_RECIPES:
                parts = full_path(key.split("."), options, where="study: axis")
                put(values, parts, copy.deepcopy(value), said=f"study: {key}")
        if isinstance(values.get("corpus"), str):  # otherwise the recipe refuses it
            values["corpus"] = str(Path(values["corpus"]).absolute())
        for table, key, path in _local_models(values):
            table[key] = str(path.absolute())
        is_plain = values["kind"] == SCRATCH and values.get("increments") is None
        if is_plain and rate is not None and RATE not in chosen:
            del values[RATE]  # it is set for the other runs
        recipe = CLASSES[values["kind"]].from_dict({**values, "name": specification.name})
        if chosen.get(PARAMETER_MATCHED):
            recipe = _control_of(recipe)
        run = _planned(recipe, chosen, corpus_hash(recipe.corpus), weights_hash, versions)
        if run.id in runs:
            raise StudyError(
                f"study: two runs are the same, {runs[run.id].label} and {run.label}; remove one of them, or make them "
                "differ in another value"
            )
        runs[run.id] = run
    if rate is not None and all(run.recipe["increments"] is None for run in runs.values()):
        raise StudyError(f"study: [set] has {RATE}, but no run has increments to train; remove it")
    return list(runs.values())


def _base(specification: Specification, name: str) -> tuple[dict[str, Any], Options]:
    """The values of a recipe with the study's settings applied, and its known keys."""
    beside = specification.folder / name
    values = read_values(beside if beside.is_file() else name)
    kind = values.setdefault("kind", SCRATCH)
    if kind not in CLASSES:
        raise StudyError(f"study: the kind of recipe {name} is {kind!r}; it must be {' or '.join(map(repr, CLASSES))}")
    options = CLASSES[kind].options()
    _check_apart(specification, options)
    is_axis = RECIPE in (*specification.varied, *specification.grid)
    if is_axis and kind == SCRATCH and "increments" not in values:
        _check_stays_plain(specification, name, options)
    for key, value in specification.settings.items():
        put(values, full_path(key.split("."), options, where="study: [set]"), value, said=f"study: [set] {key}")
    return values, options


def _check_apart(specification: Specification, options: Options) -> None:
    """Refuse axes that override each other, and settings that no run would have.

    A variant may deviate from a setting, and an axis may extend a table that is set.
    """
    places = {
        "[set]": specification.settings, "[[variant]]": specification.varied, "[grid]": specification.grid,
    }  # fmt: skip
    seen: list[tuple[list[str], str, str]] = []
    for where, keys in places.items():
        for key in keys:
            parts = key.split(".")
            path = parts if key in BEYOND_RECIPES else full_path(parts, options, where=f"study: {where}")
            for other, there, named in seen:
                shorter = min(len(path), len(other))
                may = there == "[set]" and (where == "[[variant]]" or len(path) > len(other))
                if path[:shorter] == other[:shorter] and not may:
                    raise StudyError(f"study: {there} {named} and {where} {key} set the same value; keep one of them")
            seen.append((path, where, key))


def _check_stays_plain(specification: Specification, name: str, options: Options) -> None:
    """Refuse values for all runs that give increments to a recipe without them: it could be a control no more."""
    for key in (*specification.settings, *specification.grid):
        if key not in BEYOND_RECIPES and full_path(key.split("."), options, where="study:")[0] == "increments":
            raise StudyError(
                f"study: {key!r} is set for all runs, but the recipe {name} has no increments and would get some; put "
                "it in the [[variant]]s of the other recipes"
            )


def _control_of(recipe: Recipe | GraftRecipe) -> Recipe:
    """The plain model with as many parameters as a model with increments."""
    from howfar.training.parameter_matching import parameter_matched  # imports PyTorch

    if isinstance(recipe, GraftRecipe):
        raise StudyError(
            f"study: {PARAMETER_MATCHED} in a study of grafts, whose models have a fixed size; train from scratch, or "
            "remove it"
        )
    return replace(parameter_matched(recipe), name=recipe.name)


def _local_models(values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Path]]:
    """Where a recipe names a model that is neither bundled nor on the Hub: the table, its key, and the model's path."""
    encoding = values.get("encoding")
    tables = {"start_from": values, "base": values, "table": encoding if isinstance(encoding, dict) else {}}
    for key, table in tables.items():
        name = table.get(key)
        if not isinstance(name, str) or not (path := Path(name).expanduser()).exists():
            continue
        if name not in (model.name for model in bundled_models()):
            yield table, key, path


def _planned(
    recipe: Recipe | GraftRecipe,
    chosen: dict[str, Any],
    corpus_hash: str,
    weights_hash: Callable[[Path], str],
    versions: Mapping[str, str],
) -> PlannedRun:
    values = recipe.to_dict()
    deciding = {**copy.deepcopy(values), "name": None, "corpus": corpus_hash, "versions": dict(versions)}
    for table, key, path in _local_models(deciding):
        table[key] = weights_hash(path)
    trainer = recipe.trainer
    windows = trainer.get("per_device_train_batch_size", 8) * trainer.get("gradient_accumulation_steps", 1)
    read = [corpus_hash, recipe.seed, recipe.context, windows, trainer["max_steps"]]
    return PlannedRun(
        id=_digest(deciding)[:ADDRESS_LENGTH],
        chosen=chosen,
        recipe=values,
        corpus_hash=corpus_hash,
        data_order=_digest(read)[:ORDER_LENGTH],
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
