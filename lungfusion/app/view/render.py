"""HTML as templates: `render` fills one. Whatever is filled in is escaped, so text from outside stays text."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

LOOKS = Path(str(files("lungfusion.app.view")))  # style, scripts and icon of the page
ENVIRONMENT = Environment(
    loader=PackageLoader("lungfusion.app.view"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name, **values):
    """The template templates/NAME, filled: HTML that is not escaped again where it is put into another template."""
    return Markup(ENVIRONMENT.get_template(name).render(**values))  # noqa: S704 (autoescaped)
