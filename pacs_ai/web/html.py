"""Templates of the pages: every value is escaped, times are local."""

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from pacs_ai import __version__


class Html:
    """The pages by name, with what all of them show."""

    def __init__(self, *, model: str, is_guarded: bool) -> None:
        """`model` is the network in use; `is_guarded` where there is a session to log out of."""
        self._templates = Environment(
            loader=PackageLoader("pacs_ai.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"time": _local, "percent": _percent}
        self._templates.globals |= {"model": model, "version": __version__, "is_guarded": is_guarded}

    def __call__(self, name: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """The page of this name."""
        return HTMLResponse(self._templates.get_template(f"{name}.html").render(values), status)


def _local(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.1%}"
