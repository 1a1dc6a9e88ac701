# /// script
# requires-python = ">=3.11"
# dependencies = ["howfar[app]"]
#
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page. `howfar explore` serves it, `howfar explore --edit` opens a copy of it to change."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="howfar explorer")


@app.cell
def _():
    import marimo as mo

    from howfar.errors import HowFarError
    from howfar.explorer import panels
    from howfar.explorer.examples import EXAMPLES, TOUR
    from howfar.explorer.inference import shared_inference
    from howfar.explorer.live import LiveSpacing
    from howfar.explorer.server import models_from_environment
    from howfar.explorer.view import COLOURS, DETAILS, SCALES, View, view_from_link
    from howfar.explorer.what_if import FACTORS, Edit

    return (
        COLOURS,
        DETAILS,
        EXAMPLES,
        Edit,
        FACTORS,
        HowFarError,
        LiveSpacing,
        SCALES,
        TOUR,
        View,
        mo,
        models_from_environment,
        panels,
        shared_inference,
        view_from_link,
    )


@app.cell
def _(EXAMPLES, HowFarError, View, mo, models_from_environment, panels, shared_inference, view_from_link):
    inference = shared_inference(models_from_environment())
    start = View(EXAMPLES["English"], inference.names[:1])
    refused = None
    try:
        start = view_from_link(mo.query_params().to_dict(), start, inference.names)
    except HowFarError as error:
        refused = panels.sentence(error)
    theme = mo.app_meta().theme
    return inference, refused, start, theme


@app.cell
def _(mo, start):
    chosen, choose = mo.state(start.at)
    example, use_example = mo.state(start.text)
    edited, edit_from = mo.state((start.factor, start.plain))  # where the what-if controls stand when they are made
    return choose, chosen, edit_from, edited, example, use_example


@app.cell
def _(TOUR, mo, refused):
    mo.vstack(
        [
            mo.md("# How far apart does a model think its tokens are?"),
            mo.accordion({"New here? A tour of two minutes": mo.md(TOUR)}),
            *([refused] if refused else []),
        ]
    )
    return


@app.cell
def _(COLOURS, EXAMPLES, SCALES, inference, mo, start, use_example):
    def example_button(name):
        return mo.ui.button(label=name, on_click=lambda _: use_example(EXAMPLES[name]))

    examples = mo.ui.array([example_button(name) for name in EXAMPLES])
    models = mo.ui.multiselect(inference.names, value=start.models, max_selections=2, label="Model, one or two")
    scale = mo.ui.dropdown(SCALES, value=start.scale, label="Scale")
    colour = mo.ui.dropdown(COLOURS, value=start.colour, label="Colour by")
    return colour, examples, models, scale


@app.cell
def _(example, mo):
    text = mo.ui.text_area(
        value=example(), label="Text", placeholder="Type or paste a text", rows=3, debounce=False, full_width=True
    )
    return (text,)


@app.cell
def _(colour, examples, mo, models, scale, text):
    mo.vstack(
        [
            text,
            mo.hstack(
                [mo.hstack([mo.md("Start from"), *examples], justify="start", gap=0.25, wrap=True), models, scale, colour],
                justify="start",
                gap=1.5,
                wrap=True,
            ),
        ]
    )
    return


@app.cell
def _(LiveSpacing, mo, models, start, theme):
    live = [mo.ui.anywidget(LiveSpacing(theme, start.at)) for _ in models.value]
    mo.hstack(live, widths="equal", gap=1) if live else None
    return (live,)


@app.cell
def _(HowFarError, colour, inference, live, mo, models, panels, scale, text):
    try:
        documents = panels.read(inference, models.value, text.value)
        for _picture, _document in zip(live, documents, strict=True):
            _picture.widget.show(_document.cells, scale.value, colour.value)
    except HowFarError as error:
        mo.stop(True, panels.sentence(error))
    return (documents,)


@app.cell
def _(choose, chosen, live):
    _clicked = {picture.value["chosen"] for picture in live} - {chosen()}
    if _clicked:
        choose(_clicked.pop())
    return


@app.cell
def _(chosen, documents, live, mo, panels):
    at = documents[0].selected(chosen())
    for _picture in live:
        _picture.widget.chosen = at
    panels.selection_line(documents, at)
    return (at,)


if __name__ == "__main__":
    app.run()
