"""From a study's specification to its runs: each a checked recipe, addressed by what determines its result."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from howfar.corpus.corpus import Corpus
from howfar.errors import StudyError
from howfar.studies.runs import PlannedRun
from howfar.studies.specification import BEYOND_RECIPES, PARAMETER_MATCHED, RECIPE, Specification
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.recipe import Recipe
from howfar.training.recipe_files import GRAFT, SCRATCH, read_values
from howfar.training.settings import Options, full_path, put

ADDRESS_LENGTH = 12  # hexadecimal digits: of 10^8 studies with 1,000 runs each, one has two equal addresses
ORDER_LENGTH = 6

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
    runs: dict[str, PlannedRun] = {}
    for chosen in specification.choices():
        values, options = copy.deepcopy(base(chosen.get(RECIPE, specification.recipe)))
        for key, value in chosen.items():
            if key not in BEYOND_RECIPES:
                put(values, full_path(key.split("."), options, where="study: axis"), value, said=f"study: {key}")
        if isinstance(values.get("corpus"), str):  # otherwise the recipe refuses it
            values["corpus"] = str(Path(values["corpus"]).absolute())
        recipe = CLASSES[values["kind"]].from_dict({**values, "name": specification.name})
        if chosen.get(PARAMETER_MATCHED):
            recipe = _control_of(recipe)
        run = _planned(recipe, chosen, corpus_hash(recipe.corpus), versions)
        if run.id in runs:
            raise StudyError(
                f"study: two runs are the same, {runs[run.id].label} and {run.label}; remove one of them, or make them "
                "differ in another value"
            )
        runs[run.id] = run
    return list(runs.values())


def _base(specification: Specification, name: str) -> tuple[dict[str, Any], Options]:
    """The values of a recipe with the study's settings applied, and its known keys."""
    beside = specification.folder / name
    values = read_values(beside if beside.is_file() else name)
    kind = values.setdefault("kind", SCRATCH)
    if kind not in CLASSES:
        raise StudyError(f"study: the kind of recipe {name} is {kind!r}; it must be {' or '.join(map(repr, CLASSES))}")
    options = CLASSES[kind].options()
    for key, value in specification.settings.items():
        put(values, full_path(key.split("."), options, where="study: [set]"), value, said=f"study: [set] {key}")
    _check_apart([key for key in (*specification.varied, *specification.grid) if key not in BEYOND_RECIPES], options)
    return values, options


def _check_apart(keys: list[str], options: Options) -> None:
    """Refuse axes that override each other."""
    seen: dict[tuple[str, ...], str] = {}
    for key in keys:
        path = tuple(full_path(key.split("."), options, where="study: axis"))
        for other, named in seen.items():
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                raise StudyError(f"study: the axes {named!r} and {key!r} set the same value; keep one of them")
        seen[path] = key


def _control_of(recipe: Recipe | GraftRecipe) -> Recipe:
    """The plain model with as many parameters as a model with increments."""
    from howfar.training.parameter_matching import parameter_matched  # imports PyTorch

    if isinstance(recipe, GraftRecipe):
        raise StudyError(
            f"study: {PARAMETER_MATCHED} in a study of grafts, whose models have a fixed size; train from scratch, or "
            "remove it"
        )
    return replace(parameter_matched(recipe), name=recipe.name)


def _planned(
    recipe: Recipe | GraftRecipe, chosen: dict[str, Any], corpus_hash: str, versions: Mapping[str, str]
) -> PlannedRun:
    values = recipe.to_dict()
    deciding = {**values, "name": None, "corpus": corpus_hash, "versions": dict(versions)}
    return PlannedRun(
        id=_digest(deciding)[:ADDRESS_LENGTH],
        chosen=chosen,
        recipe=values,
        corpus_hash=corpus_hash,
        data_order=_digest([corpus_hash, recipe.seed, recipe.context])[:ORDER_LENGTH],
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
