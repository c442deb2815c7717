"""OHIF as a department has it: its built pages and the archive's DICOMweb behind one origin, in a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from .browser import open_browser
from .peers import wait_until

PAGES = Path(__file__).parents[2] / ".viewer" / "ohif-3.12.10" / "dist"
SETTINGS = Path(__file__).parent / "ohif.js"


class _Pages(SimpleHTTPRequestHandler):
    """OHIF's files; what is under /dicom-web is asked of the archive, as a site's reverse proxy does it."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *given: Any, port: int) -> None:
        self.port = port
        super().__init__(*given, directory=str(PAGES))

    def do_GET(self) -> None:
        if self.path.startswith("/dicom-web/"):
            self._relay()
        else:
            super().do_GET()

    def _relay(self) -> None:
        archive = HTTPConnection("127.0.0.1", self.port, timeout=60)
        archive.request("GET", self.path, headers={name: self.headers[name] for name in ("Accept", "Host")})
        with archive.getresponse() as answer:
            body = answer.read()
        archive.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path: str) -> str:
        """A path that is no file is a route of the viewer, which its one page makes out."""
        if path.partition("?")[0] == "/app-config.js":
            return str(SETTINGS)
        found = super().translate_path(path)
        return found if Path(found).is_file() else str(PAGES / "index.html")

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *said: object) -> None:
        """Say nothing: the lines of many requests tell nothing about a test."""


@contextmanager
def served_pages(port: int) -> Iterator[str]:
    """The address at which OHIF shows what the archive with this HTTP port holds."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, port=port))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Viewer:
    """OHIF in headless Chromium, with one viewport."""

    def __init__(self, address: str, profile: Path) -> None:
        self.address = address
        self.browser = open_browser(profile)

    def close(self) -> None:
        self.browser.quit()

    def open(self, study_instance_uid: str, *, series: int) -> None:
        """The study is open, and so many series are listed."""
        self.browser.get(f"{self.address}/viewer?StudyInstanceUIDs={study_instance_uid}")
        wait_until(lambda: len(self._thumbnails()) == series, seconds=60)

    def listed(self) -> list[str]:
        """What the list of series says of each."""
        return [item.text for item in self._thumbnails()]

    def show(self, modality: str) -> None:
        """The series of this modality has been put into the viewport; its picture may be still to come."""
        (chosen,) = [item for item in self._thumbnails() if item.text.split("\n")[0].split()[0] == modality]
        ActionChains(self.browser).double_click(chosen).perform()

    def words(self) -> str:
        """All that is written in the viewport."""
        return self._viewport().text

    def picture(self) -> NDArray[np.uint8]:
        """What the viewport looks like, (rows, columns, 3)."""
        return np.asarray(Image.open(BytesIO(self._viewport().screenshot_as_png)).convert("RGB"))

    def window(self) -> Image.Image:
        """What the whole window looks like."""
        return Image.open(BytesIO(self.browser.get_screenshot_as_png())).convert("RGB")

    def is_within_the_viewport(self, words: str) -> bool:
        """Whether these words, drawn on the film, can be read from end to end."""
        outer = self._viewport().rect
        (drawn,) = [item for item in self.browser.find_elements(By.CSS_SELECTOR, "svg text") if words in item.text]
        inner = drawn.rect
        return all(
            outer[start] <= inner[start] and inner[start] + inner[size] <= outer[start] + outer[size]
            for start, size in (("x", "width"), ("y", "height"))
        )

    def _viewport(self) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, "[data-cy='viewport-pane']")

    def _thumbnails(self) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, "[data-cy^='study-browser-thumbnail']")
