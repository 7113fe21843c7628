"""JupyterLab in Chromium: opens a notebook, runs it if asked to, and takes a picture of all of it.

``python tests/browser/lab.py notebook.ipynb picture.png [--run]``
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.revealed;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  if (kernel) { await kernel.info; await kernel.requestKernelInfo(); }
}"""


@contextlib.contextmanager
def lab(root: Path) -> Iterator[str]:
    """A JupyterLab of its own on a folder; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as private:
        folders = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
        settings = Path(private, "settings", "@jupyterlab", "apputils-extension")
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(
            '{"fetchNews": "false", "checkForUpdates": false}'
        )
        environment = {
            "JUPYTERLAB_SETTINGS_DIR": f"{private}/settings",
            **os.environ,
            **{name: f"{private}/{name}" for name in folders},
        }
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
            f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True",
        ]  # fmt: skip
        with open(os.devnull, "w") as sink:
            server = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink)
            try:
                address = f"http://127.0.0.1:{port}"
                _await(f"{address}/api?token={token}")
                yield f"{address}/lab/tree/{{}}?token={token}&reset"
            finally:
                server.terminate()
                server.wait(20)


@contextlib.contextmanager
def browser(height: int = 1400, width: int = 1280) -> Iterator[Any]:
    """A page of headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield chromium.new_page(viewport={"width": width, "height": height})
        finally:
            chromium.close()


@contextlib.contextmanager
def notebooks(root: Path) -> Iterator[Any]:
    """A JupyterLab with a page; yields a function that writes a notebook of some cells and opens it."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    with lab(root) as address, browser() as page:

        def open_cells(name: str, *cells: str) -> Any:
            book = new_notebook(cells=[new_code_cell(cell) for cell in cells])
            book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(book, root / name)
            open_notebook(page, address, name)
            return page

        open_cells.root, open_cells.address, open_cells.page = root, address, page  # type: ignore[attr-defined]
        yield open_cells


def run_cell(page: Any, number: int) -> None:
    """Run one cell, counted from 0, by keyboard."""
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").nth(number).click()
    page.keyboard.press("Control+Enter")


def dark(page: Any, on: bool = True) -> None:
    theme = "JupyterLab Dark" if on else "JupyterLab Light"
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_timeout(700)


def open_notebook(page: Any, address: str, name: str) -> None:
    """Load a notebook and wait until its kernel answers."""
    page.goto(address.format(name))
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    page.evaluate(READY)


def run_all(page: Any, sentinel: str, timeout: float = 60_000) -> None:
    """Run all cells and wait for a text that the last one shows."""
    page.click('.lm-MenuBar-item:has-text("Run")')
    page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
    page.wait_for_selector(f'.jp-OutputArea-output:has-text("{sentinel}")', timeout=timeout)


def picture(page: Any, path: Path) -> None:
    """A screenshot of the whole notebook, however long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height = page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('.jp-WindowedPanel-outer')].map(e => e.scrollHeight)) + 140"
    )
    page.set_viewport_size({"width": 1280, "height": min(int(height), 15_000)})
    page.wait_for_timeout(1500)
    page.screenshot(path=str(path))


def _await(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.2)
    raise RuntimeError("JupyterLab did not start in time")


if __name__ == "__main__":
    notebook, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with lab(notebook.parent) as address, browser() as page:
        open_notebook(page, address, notebook.name)
        if "--run" in sys.argv:
            run_all(page, "DONE", 600_000)
        picture(page, out)
