"""From a study's folder to evidence: losses by seed, differences over pairs, and each seed's spacing of one text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

import howfar
from howfar.charts.losses import draw_losses
from howfar.charts.measures.neutrality import draw_neutrality
from howfar.charts.spacing import spacing
from howfar.charts.spacing.palette import stylesheet
from howfar.charts.text_tables import notes, readable
from howfar.corpus.corpus import Corpus
from howfar.errors import HowFarError, NotMeasurableError
from howfar.measures.boundaries import boundaries
from howfar.measures.boundaries.targets import TARGETS, segmented
from howfar.measures.neutrality import MEASURE, neutrality
from howfar.positions.encodings import PLAIN
from howfar.reports.page import Page
from howfar.reports.sentences import SHOWN, said, strongest, verdicts
from howfar.studies.runs import PlannedRun, RunState
from howfar.studies.study import Study
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    from howfar.progress import Progress

SEED = "seed"
PICTURE_WIDTH = 520
MOST_CHARACTERS = 120  # characters of the text that every model reads
NUM_DOCUMENTS = 100  # documents to compare losses on
NUM_GAPS = 10_000  # gaps in which to look for boundaries


def study_html(
    study: Study,
    text: str,
    *,
    gold: Iterable[Segmentation] | None = None,
    watch: Callable[[str], Progress] | None = None,
) -> str:
    """The page of a study.

    Args:
        study: The study; unfinished runs are counted and left out.
        text: A text for every model with learned positions; its beginning is drawn, and the page says how much that is.
        gold: Chinese texts with known words, iterated once for each model; None: jieba's words in held-out documents.
        watch: Called with the name of each next task.

    Raises:
        NotMeasurableError: No run is finished.
    """
    states = study.states()
    finished = [state for state in states if state.state == "finished"]
    if not finished:
        raise NotMeasurableError(f"no run of {study.name} is finished; continue the study first")
    learned: dict[str, list[RunState]] = {}
    for state in finished:
        if state.run.recipe["increments"] is not None:
            learned.setdefault(variant_of(state), []).append(state)
    counts = ", ".join(f"{number} {state}" for state, number in Counter(state.state for state in states).items())
    page = Page()
    drawn = text[:MOST_CHARACTERS]
    return page.html(
        study.name,
        "study.html",
        style=stylesheet(),
        name=study.name,
        counts=f"{len(states)} runs: {counts}.",
        losses=_losses(study, finished, page),
        differences=list(_differences(study, finished, page, watch)),
        boundaries=[{"variant": name} | _boundaries(study, name, own, gold, watch) for name, own in learned.items()],
        pictures=[(name, list(_pictures(study, own, drawn))) for name, own in learned.items()],
        cut=f"The first {len(drawn)} of {len(text):,} characters." if len(drawn) < len(text) else "",
    )


def variant_of(state: RunState) -> str:
    """The settings that a run shares with runs that differ in the seed alone."""
    return _variant(state.run)


def _variant(run: PlannedRun) -> str:
    return ", ".join(f"{key} {value}" for key, value in run.chosen.items() if key != SEED) or "all"


def loss_table(finished: Sequence[RunState]) -> pl.DataFrame:
    """One row per finished run."""
    rows = [
        {"variant": variant_of(state), "seed": state.run.recipe[SEED], "data_order": state.run.data_order}
        | {"nats_per_byte": state.nats_per_byte, "step": state.step, "run": state.run.id}
        for state in finished
    ]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"nats_per_byte": pl.Float64})


def variant_table(study: Study, finished: Sequence[RunState]) -> pl.DataFrame:
    """One row per variant: the mean loss of its seeds, and its parameters, which show what is a control of what."""
    one = {variant_of(state): state for state in finished}
    sizes = {name: _load(study, state).num_parameters() for name, state in one.items()}
    losses = loss_table(finished).group_by("variant", maintain_order=True)
    table = losses.agg(
        # Variants differ in later digits than tables usually show.
        pl.col("nats_per_byte").mean().round(5).cast(str).alias("nats_per_byte"),
        pl.col("nats_per_byte").std().round(5).cast(str).alias("sd_over_seeds"),
        pl.len().alias("seeds"),
    )
    return table.with_columns(parameters=pl.col("variant").replace_strict(sizes, return_dtype=pl.Int64))


def over_pairs(
    study: Study, finished: Sequence[RunState], watch: Callable[[str], Progress] | None = None
) -> dict[str, pl.DataFrame | str]:
    """Each variant against those without increments, over all pairs with the same data order.

    Intervals are over seeds and documents; only pairs show whether a difference is due to the positions or the seed.

    Returns:
        By variant, the table of `neutrality` with the seed of each pair, or why it is missing. Every variant but plain
        RoPE is compared with plain RoPE; one with increments and another encoding also with this encoding alone.
    """
    by_variant: dict[str, dict[str, RunState]] = {}
    for state in finished:
        by_variant.setdefault(variant_of(state), {})[state.run.data_order] = state
    recipes = {name: next(iter(own.values())).run.recipe for name, own in by_variant.items()}
    found: dict[str, pl.DataFrame | str] = {}
    for name, controls in controls_of(recipes).items():
        own = by_variant[name]
        # Those that read other windows (another corpus or length, more steps) are no controls of this variant.
        others = {other: by_variant[other] for other in controls if own.keys() & by_variant[other].keys()}
        if others:
            found[name] = _compared(study, own, others, partial(watch, f"losses of {name}") if watch else None)
        else:
            found[name] = f"no finished run of it read the same windows as finished runs of {' and '.join(controls)}"
    return found


def _compared(
    study: Study,
    own: Mapping[str, RunState],
    others: Mapping[str, Mapping[str, RunState]],
    watch: Callable[[], Progress] | None,
) -> pl.DataFrame | str:
    """One variant against controls, each over all data orders that it shares; runs are given by data order."""
    orders = [order for order in own if any(order in of for of in others.values())]
    alike: dict[tuple[int, ...], list[str]] = {}  # controls by the pairs that they have
    for other, of in others.items():
        alike.setdefault(tuple(pair for pair, order in enumerate(orders) if order in of), []).append(other)
    tables, failed = list[pl.DataFrame](), dict[str, str]()
    for pairs, names in alike.items():
        shared = [orders[pair] for pair in pairs]
        try:
            table = neutrality(
                [_load(study, own[order]) for order in shared],
                {other: [_load(study, others[other][order]) for order in shared] for other in names},
                own[shared[0]].run.corpus(),
                num_documents=NUM_DOCUMENTS,
                progress=watch() if watch else None,
            )
        except HowFarError as error:
            failed |= dict.fromkeys(names, str(error))
            continue
        tables.append(table.with_columns(pair=pl.col("pair").replace_strict(dict(enumerate(pairs)), default=None)))
    if not tables:
        return "; ".join(dict.fromkeys(failed.values()))
    missing = [{"against": other, "source": "all", "note": f"not measurable: {why}"} for other, why in failed.items()]
    if missing:
        tables.append(pl.DataFrame(missing))
    seeds = {pair: own[order].run.recipe[SEED] for pair, order in enumerate(orders)}
    together = pl.concat(tables, how="diagonal_relaxed")
    return together.with_columns(seed=pl.col("pair").replace_strict(seeds, default=None))


def left_out(study: Study, finished: Sequence[RunState]) -> dict[str, list[str]]:
    """By variant, sentences on the seeds that are planned in it and in a control, but not finished in both."""
    planned, done = dict[str, dict[str, PlannedRun]](), dict[str, set[str]]()
    for run in study.runs:
        planned.setdefault(_variant(run), {})[run.data_order] = run
    for state in finished:
        done.setdefault(variant_of(state), set()).add(state.run.data_order)
    said: dict[str, list[str]] = {}
    for name, controls in controls_of({name: next(iter(own.values())).recipe for name, own in planned.items()}).items():
        for other in controls:
            seeds: dict[tuple[str, ...], list[str]] = {}
            for order in filter(planned[other].__contains__, planned[name]):
                if lacking := tuple(one for one in (name, other) if order not in done.get(one, ())):
                    seeds.setdefault(lacking, []).append(str(planned[name][order].recipe[SEED]))
            for lacking, of in seeds.items():
                seed, is_out = ("seed", "is") if len(of) == 1 else ("seeds", "are")
                said.setdefault(name, []).append(
                    f"Against {other}, {seed} {', '.join(sorted(of, key=int))} {is_out} left out: not finished "
                    f"{f'in {lacking[0]}' if len(lacking) == 1 else 'in either'}."
                )
    return said


def controls_of(recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """What each variant is compared with.

    Args:
        recipes: A recipe of each variant.

    Returns:
        By variant, except plain RoPE: those of plain RoPE and, if it has increments, those of its encoding alone.
    """
    kinds = {name: (_encoding_of(recipe), recipe["increments"] is not None) for name, recipe in recipes.items()}
    plain = (PLAIN["name"], False)
    controls: dict[str, list[str]] = {}
    for name, (encoding, has_increments) in kinds.items():
        wanted = {plain, (encoding, False)} if has_increments else {plain}
        others = [other for other, kind in kinds.items() if kind in wanted]
        if others and name not in others:
            controls[name] = others
    return controls


def _encoding_of(recipe: Mapping[str, Any]) -> str:
    return str((recipe.get("encoding") or PLAIN)["name"])


def _load(study: Study, state: RunState) -> Any:
    with study.place.folder_of(state.run.id) as folder:
        return howfar.load(folder)


def _losses(study: Study, finished: Sequence[RunState], page: Page) -> dict[str, Any]:
    table = loss_table(finished)
    shown = table.with_columns(table["nats_per_byte"].round(5).cast(str))  # seeds differ in late digits
    told: dict[str, Any] = {"numbers": _rows(shown), "variants": _rows(variant_table(study, finished))}
    if table["nats_per_byte"].null_count() < len(table):
        told["chart"] = page.place(draw_losses(table.drop_nulls("nats_per_byte")))
    return told


def _differences(
    study: Study, finished: Sequence[RunState], page: Page, watch: Callable[[str], Progress] | None
) -> Iterator[dict[str, Any]]:
    unfinished = left_out(study, finished)
    for name, table in over_pairs(study, finished, watch).items():
        if isinstance(table, str):
            yield {"variant": name, "missing": table}
            continue
        told: dict[str, Any] = {
            "variant": name,
            "notes": [*notes(table), *unfinished.get(name, [])],
            "verdicts": verdicts(table),
        }
        if table["low"].null_count() < len(table):
            told["chart"] = page.place(draw_neutrality(table))
        together, alone = table.filter(pl.col("pair").is_null()), table.filter(pl.col("pair").is_not_null())
        told["together"] = _rows(together, (*MEASURE.columns, "seed_share"))
        yield told | {"pairs": _rows(alone, ("pair", SEED, *MEASURE.columns))}


def _boundaries(
    study: Study,
    variant: str,
    learned: Sequence[RunState],
    gold: Iterable[Segmentation] | None,
    watch: Callable[[str], Progress] | None,
) -> dict[str, Any]:
    """Whether some layer marks where Chinese words begin, seed by seed.

    In scripts with spaces the byte itself shows the boundary; of Chinese words no byte shows it.
    """
    tables = {}
    try:
        for state in learned:
            seed, model = state.run.recipe[SEED], _load(study, state)
            told = watch(f"boundaries of {variant}, seed {seed}") if watch else None
            texts = gold if gold is not None else _by_rule(state.run.corpus(), model)
            tables[seed] = boundaries(model, texts, fitted=False, max_gaps=NUM_GAPS, progress=told)
        found = strongest(tables)
    except HowFarError as error:
        return {"missing": str(error)}
    return {"said": said(found, tables), "strongest": _rows(found, SHOWN)}


def _by_rule(corpus: Corpus, model: Any) -> Iterable[Segmentation]:
    return segmented(corpus, howfar.tokenizer_of(model), TARGETS["chinese-words"], NUM_GAPS, 0)


def _pictures(study: Study, learned: Sequence[RunState], text: str) -> Iterator[tuple[str, str]]:
    """Small multiples: each seed's spacing of the same text, as SVG elements."""
    for state in learned:
        seed = f"seed {state.run.recipe[SEED]}"  # a model's own name is that of its folder
        trace = dataclasses.replace(howfar.trace(_load(study, state), text), model_name=seed)
        yield seed, spacing(trace, width=PICTURE_WIDTH).element


def _rows(table: pl.DataFrame, columns: Sequence[str] | None = None) -> tuple[list[str], list[list[str]]]:
    return readable(table, columns or table.columns, len(table))
