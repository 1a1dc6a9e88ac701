"""Files of this package that pictures and pages are made of: style sheets, scripts, numbers and templates."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def asset(path: str) -> str:
    """The text of a file of this package, for example `charts/page.css`."""
    return (resources.files("howfar") / path).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """HTML from a template of this package, for example `reports/report.html`; all values are escaped."""
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    options: dict[str, Any] = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=PackageLoader("howfar", ""), undefined=StrictUndefined, **options)
