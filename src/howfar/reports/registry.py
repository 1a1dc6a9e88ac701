"""The measures by name. A measure is a function of `howfar.measures` and its chart one of `howfar.charts`."""

from __future__ import annotations

from howfar.charts.measures.attention import draw_attention
from howfar.charts.measures.boundaries import draw_boundaries
from howfar.charts.measures.calibration import draw_calibration
from howfar.charts.measures.contexts import draw_contexts
from howfar.charts.measures.extrapolation import draw_extrapolation
from howfar.charts.measures.gap_effects import draw_gap_effects
from howfar.charts.measures.increments import draw_increments
from howfar.charts.measures.interventions import draw_interventions
from howfar.charts.measures.neutrality import draw_neutrality
from howfar.charts.measures.pairs import draw_pairs
from howfar.charts.measures.vocabulary import draw_vocabulary
from howfar.errors import ConfigError
from howfar.reports import runners
from howfar.reports.measure import Measure

MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            name="increments",
            question="How far do positions advance at letters, spaces, punctuation, Chinese characters and so on?",
            run=runners.run_increments,
            draw=draw_increments,
            takes=("classes",),
            sample="documents",
            columns=(
                *("over", "layer", "head", "class", "mean [mean_low, mean_high]"),
                *("relative [relative_low, relative_high]", "sd", "lowest", "highest", "saturated", "num_tokens"),
            ),
        ),
        Measure(
            name="boundaries",
            question="Do increments tell where words begin, and more than entropy and surprisal do?",
            run=runners.run_boundaries,
            draw=draw_boundaries,
            needs=("gold|texts",),
            takes=("target",),
            sample="gaps",
            columns=("quantity", "score", "scored_at", "layer", "head", "value [low, high]", "num_gaps"),
        ),
        Measure(
            name="pairs",
            question="Are the parts of a name closer together than other words as likely to follow each other?",
            run=runners.run_pairs,
            draw=draw_pairs,
            needs=(),
            takes=("corpus", "pairs", "language"),
            columns=(
                "control",
                "site",
                "type",
                "layer",
                "head",
                "difference [difference_low, difference_high]",
                "effect_size",
                "p_holm",
                "num_pairs",
            ),
        ),
        Measure(
            name="attention",
            question="How far do heads look, and does that go with the increments?",
            run=runners.run_attention,
            draw=draw_attention,
            sample="documents",
            columns=("quantity", "unit", "layer", "head", "value [low, high]", "num_documents"),
        ),
        Measure(
            name="interventions",
            question="What does the loss do when increments are replaced, beyond a shuffle and an equal displacement?",
            run=runners.run_interventions,
            draw=draw_interventions,
            sample="documents",
            columns=(
                "kind",
                "layer",
                "dose",
                "change [change_low, change_high]",
                "beyond_shuffle [beyond_shuffle_low, beyond_shuffle_high]",
                "beyond_control [beyond_control_low, beyond_control_high]",
                "num_documents",
            ),
        ),
        Measure(
            name="gap_effects",
            question="Which gaps matter for predicting which tokens?",
            run=runners.run_gap_effects,
            draw=draw_gap_effects,
            sample="tokens",
            columns=("layer", "head", "predicted", "predicted_piece", "gap", "gap_piece", "nats_per_position"),
        ),
        Measure(
            name="vocabulary",
            question="Which tokens are farther than usual from what stands before them, and which nearer?",
            run=runners.run_vocabulary,
            draw=draw_vocabulary,
            needs=(),
            takes=("corpus",),
            columns=("head", "token_id", "token", "class", "count", "increment", "drift"),
        ),
        Measure(
            name="contexts",
            question="In which passages are increments largest, smallest, and most unlike what their class predicts?",
            run=runners.run_contexts,
            draw=draw_contexts,
            sample="documents",
            columns=(
                *("kind", "layer", "head", "increment", "class", "deviation"),
                *("left:-16", "scored", "right:8"),
            ),
            partitions=("kind", "layer"),
        ),
        Measure(
            name="extrapolation",
            question="What is the loss in contexts longer than those of training?",
            run=runners.run_extrapolation,
            draw=draw_extrapolation,
            sample="windows",
            columns=(
                "source",
                "times",
                "start",
                "stop",
                "nats_per_byte [low, high]",
                "change [change_low, change_high]",
                "num_windows",
            ),
            of_increments=False,
        ),
        Measure(
            name="neutrality",
            question="Is the loss the same as with plain positions?",
            run=runners.run_neutrality,
            draw=draw_neutrality,
            needs=("texts", "against"),
            sample="documents",
            columns=(
                "against",
                "source",
                "difference [low, high]",
                "equivalent",
                "num_units",
                "unit",
                "statement",
            ),
            of_increments=False,
        ),
        Measure(
            name="calibration",
            question="What does `boundaries` find in models of text whose units are known, and in text that has none?",
            run=runners.run_calibration,
            draw=draw_calibration,
            needs=(),
            sample="seeds",
            columns=(
                *("text", "seed", "planted", "quantity", "score", "scored_at", "layer"),
                *("value [low, high]", "verdict"),
            ),
            of_model=False,
        ),
    )
}


def measure_named(name: str) -> Measure:
    """Find a measure.

    Raises:
        ConfigError: There is none of the name.
    """
    if name not in MEASURES:
        raise ConfigError(f"there is no measure {name!r}; choose from {', '.join(MEASURES)}")
    return MEASURES[name]
