# /// script
# requires-python = ">=3.11"
# dependencies = ["howfar[app]"]
#
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page. `howfar explore` serves it; `howfar explore --edit` opens a copy of it for editing."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="howfar explorer")


with app.setup:
    import json
    from dataclasses import replace

    import marimo as mo

    from howfar.errors import HowFarError
    from howfar.explorer import panels, parts
    from howfar.explorer.inference import shared_inference
    from howfar.explorer.live import BOXES, PAUSE_MILLISECONDS, LiveSpacing
    from howfar.explorer.server import models_from_environment
    from howfar.explorer.tour import TOUR
    from howfar.explorer.view import COLOURS, DETAILS, SCALES, View, view_from_link
    from howfar.explorer.what_if import FACTORS, Edit
    from howfar.text.examples import EXAMPLES, selected_in


@app.cell
def _():
    inference = shared_inference(models_from_environment())
    start = View(EXAMPLES["English"], inference.names[:1], at=selected_in("English"))
    refused = None
    try:
        asked_for = view_from_link(mo.query_params().to_dict(), start, inference.names)
        start = replace(start, factor=4.0) if asked_for == start else asked_for  # open with a visible change
    except HowFarError as error:
        refused = parts.sentence(error)
    return inference, refused, start


@app.cell
def _(start):
    chosen, choose = mo.state(start.at, allow_self_loops=True)  # a cell that reads it also has buttons that set it
    edited, edit_from = mo.state((start.factor, start.layer, start.plain, 0))  # initial values of what-if controls
    theme, follow = mo.state(mo.app_meta().theme)
    seen = {"when": 0}  # time of the latest click or drag in a picture that was handled
    return choose, chosen, edit_from, edited, follow, seen, theme


@app.cell
def _(refused):
    mo.vstack(
        [
            parts.heading(),
            mo.accordion({"New here? Take a two-minute tour": mo.md(TOUR)}),
            *([refused] if refused else []),
        ],
        gap=0.25,
    )
    return


# A cell that displays a control does not run again when the control's value changes, so typing is never blocked. While
# keys come quickly, no cell runs: the pictures follow by themselves, everything else when the typing pauses.
@app.cell
def _(choose, pictures):
    def _start_from(name):
        pictures[0].fill(EXAMPLES[name], "")
        choose(selected_in(name))

    def example_button(name):
        return mo.ui.button(label=name, on_click=lambda _: _start_from(name))

    examples = mo.ui.array([example_button(name) for name in EXAMPLES])
    mo.hstack([mo.Html("Start from"), *examples], justify="start", align="center", gap=0.25, wrap=True)
    return (examples,)


@app.cell
def _(start):
    text = mo.ui.text_area(
        value=start.text,
        label=BOXES[0],
        placeholder="Type or paste a text",
        rows=3,
        debounce=PAUSE_MILLISECONDS,
        full_width=True,
    )
    text  # noqa: B018 -- what the cell shows
    return (text,)


@app.cell
def _(start):
    second_text = mo.ui.text_area(
        value=start.second_text,
        label=BOXES[1],
        placeholder="Optional: a text to compare with",
        rows=1,
        debounce=PAUSE_MILLISECONDS,
        full_width=True,
    )
    second_text  # noqa: B018 -- what the cell shows
    return (second_text,)


@app.cell
def _(inference, start):
    models = mo.ui.multiselect(inference.names, value=start.models, max_selections=2, label="One or two models")
    scale = mo.ui.dropdown(SCALES, value=start.scale, label="Scale")
    colour = mo.ui.dropdown(COLOURS, value=start.colour, label="Colour by")
    mo.hstack([models, scale, colour], justify="start", gap=1.5, wrap=True)
    return colour, models, scale


@app.cell
def _(inference, start):
    # Cells that refer to `left` or `right` run at each message from the page; cells that only draw use `pictures`.
    pictures = [LiveSpacing(inference, mo.app_meta().theme, start.at) for _ in range(2)]
    left, right = map(mo.ui.anywidget, pictures)
    return left, pictures, right


@app.cell
def _(left, models, right, second_text):
    parts.side_by_side([left, right][: 2 if second_text.value else max(1, len(models.value))])
    return


@app.cell
def _(colour, inference, models, pictures, scale, second_text, text):
    try:
        documents = panels.read(inference, models.value, text.value, second_text.value)
        pictures[1].box = BOXES[bool(second_text.value)]
        for _picture, _document in zip(pictures, documents, strict=False):
            _picture.show(_document.model, _document.trace, scale.value, colour.value)
    except HowFarError as error:
        for _picture in pictures:
            _picture.clear()
        mo.stop(True, parts.sentence(error))
    return (documents,)


@app.cell
def _(choose, edit_from, follow, left, right, seen, theme):
    for _picture in (left, right):
        _cell, _when = _picture.value["clicked"]
        if _when > seen["when"]:
            seen["when"] = _when
            choose(_cell)
        _moved = json.loads(_picture.value["moved"])
        if _moved.get("when", 0) > seen["when"]:
            seen["when"] = _moved["when"]
            choose(_moved["cell"])
            edit_from((_moved["factor"], _moved["layer"], _moved["plain"], _moved["when"]))
    if left.value["theme"] != theme():
        follow(left.value["theme"])
    return


@app.cell
def _(choose, chosen, colour, documents, pictures, scale, seen, theme):
    at = max(document.selected(chosen()) for document in documents)
    for _picture, _document in zip(pictures, documents, strict=False):
        _picture.select(_document.selected(at), seen["when"])

    def _step(by):
        return lambda _: choose(max(0, at + by))

    back = mo.ui.button(label="←", tooltip="previous character", on_click=_step(-1))
    forth = mo.ui.button(label="→", tooltip="next character", on_click=_step(+1))
    _selected = mo.hstack([back, forth, panels.selection_line(documents, at)], justify="start", align="center")
    _save = panels.save_spacing(documents, scale.value, colour.value, theme())
    mo.hstack([_selected, _save], align="center", widths=[3, 2] if len(documents) > 1 else [3, 1])
    return at, back, forth


@app.cell
def _(start):
    detail = mo.ui.tabs(dict.fromkeys(DETAILS, ""), value=start.detail)
    return (detail,)


@app.cell
def _(edited, inference, models):
    _layers = sorted({layer for model in models.value for layer in inference.layers(model)})
    _options = {"all layers": None} | {f"layer {layer}": layer for layer in _layers}
    layer = mo.ui.dropdown(
        _options, value=f"layer {edited()[1]}" if edited()[1] in _layers else "all layers", label="Layer"
    )
    return (layer,)


@app.cell
def _(edited):
    factor = mo.ui.slider(steps=FACTORS, value=edited()[0], show_value=True, label="Selected gap ×")
    plain = mo.ui.switch(value=edited()[2], label="Plain +1 instead")
    moved_at = edited()[3]  # a picture that was dragged later ignores these two controls
    return factor, moved_at, plain


@app.cell
def _():
    only_selected = mo.ui.switch(label="Only the selected character")
    part = mo.ui.number(1, 16, value=1, label="Token within the character")
    return only_selected, part


@app.cell
def _(detail, edit_from, factor, layer, only_selected, plain, seen):
    reset = mo.ui.button(label="Reset", on_click=lambda _: edit_from((1.0, layer.value, False, seen["when"])))
    _controls = {
        "What if": [factor, layer, plain, reset],
        "Attention": [layer],
        "Numbers": [only_selected],
        "Context": [],
    }
    mo.vstack(
        [detail, mo.hstack(_controls[detail.value], justify="start", align="center", gap=1.5, wrap=True)], gap=0.5
    )
    return (reset,)


@app.cell
def _(at, detail, documents, factor, inference, layer, moved_at, pictures, plain, theme):
    pictures[0].edit = pictures[1].edit = json.dumps(
        {"factor": factor.value, "layer": layer.value, "plain": plain.value, "when": moved_at}
    )
    mo.stop(detail.value != "What if")
    panels.for_each(
        documents,
        lambda document: panels.what_if_view(
            inference, document, Edit(document.tokens_of(at), factor.value, layer.value, plain.value), theme()
        ),
    )
    return


@app.cell
def _(at, detail, documents, inference, layer, theme):
    mo.stop(detail.value != "Attention")
    panels.for_each(documents, lambda document: panels.attention_view(inference, document, at, layer.value, theme()))
    return


@app.cell
def _(at, detail, documents, only_selected):
    mo.stop(detail.value != "Numbers")
    panels.for_each(documents, lambda document: panels.numbers_view(document, at if only_selected.value else None))
    return


@app.cell
def _(at, detail, documents, inference, part, theme):
    mo.stop(detail.value != "Context")
    _view = panels.for_each(
        documents, lambda document: panels.context_view(inference, document, at, part.value, theme())
    )
    _has_parts = any(len(range(*document.tokens_of(at))) > 1 for document in documents)
    mo.vstack([part, _view] if _has_parts else [_view])
    return


@app.cell
def _(at, colour, detail, factor, layer, models, plain, scale, second_text, text):
    view = View(
        text=text.value,
        models=tuple(models.value),
        second_text=second_text.value,
        at=at,
        scale=scale.value,
        colour=colour.value,
        layer=layer.value,
        detail=detail.value,
        factor=factor.value,
        plain=plain.value,
    )
    parts.link_line(view)
    return


if __name__ == "__main__":
    app.run()
