"""JupyterLab in Chromium: opens a notebook, runs it if asked to, and takes a picture of all of it.

``python tests/browser/lab.py notebook.ipynb picture.png [--run]``
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SCREENS = Path(__file__).resolve().parents[2] / "build" / "screens"
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
        for name, text in {  # without windowing every cell is in the page, wherever it is scrolled to
            "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
            "notebook-extension/tracker": '{"windowingMode": "none"}',
        }.items():
            path = Path(private, "settings", "@jupyterlab", f"{name}.jupyterlab-settings")
            path.parent.mkdir(parents=True)
            path.write_text(text)
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


class Notebooks:
    """Opens notebooks of some cells, each on a page of its own; knows what its pages asked of the network.

    root: folder that the server shows. page: the latest page. asked: addresses that were asked for since :meth:`close`.
    """

    def __init__(self, root: Path, address: str, chromium: Any) -> None:
        self.root, self.address, self._chromium = root, address, chromium
        self.asked: list[str] = []
        self._contexts: list[Any] = []
        self.page: Any = None

    def __call__(self, name: str, *cells: str, **options: Any) -> Any:
        """Write a notebook, open it on a fresh page and wait for its kernel."""
        import nbformat
        from nbformat.v4 import new_code_cell, new_notebook

        book = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        self.path(name).parent.mkdir(exist_ok=True)
        nbformat.write(book, self.path(name))
        return self.open(name, **options)

    def path(self, name: str) -> Path:
        """Where a notebook lies: in a folder of its own, so that studies do not meet."""
        return self.root / Path(name).stem / name

    def open(self, name: str, **options: Any) -> Any:
        """Open a notebook that is there on a fresh page."""
        where = self.path(name).relative_to(self.root)
        open_notebook(self.new_page(**options), self.address, str(where))
        return self.page

    def new_page(self, width: int = 1280, height: int = 1400, **options: Any) -> Any:
        context = self._chromium.new_context(viewport={"width": width, "height": height}, **options)
        self._contexts.append(context)
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)  # a crowded machine is no failure
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        return self.page

    def strangers(self) -> list[str]:
        """Addresses beyond this machine that were asked for."""
        from urllib.parse import urlsplit

        inside = ("data", "blob", "about", "file")
        parts = [(url, urlsplit(url)) for url in self.asked]
        return [url for url, part in parts if part.scheme not in inside and part.hostname != "127.0.0.1"]

    def close(self) -> None:
        """Close the pages and end their kernels."""
        for context in self._contexts:
            context.close()
        self._contexts, self.asked = [], []
        base, _, token = self.address.replace("/lab/tree/{}", "").replace("&reset", "").partition("?")
        with urllib.request.urlopen(f"{base}/api/sessions?{token}", timeout=60) as answer:
            sessions = json.load(answer)
        for session in sessions:
            gone = urllib.request.Request(f"{base}/api/sessions/{session['id']}?{token}", method="DELETE")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(gone, timeout=20).close()


@contextlib.contextmanager
def notebooks(root: Path) -> Iterator[Notebooks]:
    """A JupyterLab and a Chromium, shared by all tests of a session."""
    from playwright.sync_api import sync_playwright

    with lab(root) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield Notebooks(root, address, chromium)
        finally:
            chromium.close()


def missing() -> str:
    """What the browser tests lack on this machine; empty if nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "the browser tests need playwright: pip install 'causalmix_nb[test]'"
    if CHROMIUM is None:
        return "the browser tests need chromium on the path: apt-get install chromium"
    return ""


def severe(page: Any, selector: str) -> list[str]:
    """What axe-core finds serious or critical inside an element, in words."""
    from importlib.resources import files

    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate(
        "async (selector) => (await axe.run(selector, {resultTypes: ['violations']})).violations", selector
    )
    return [
        f"{rule['id']}: {rule['help']} ({node['html'][:120]}; {node.get('failureSummary', '')[:300]})"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def python(page: Any, code: str, timeout: float = 120_000) -> str:
    """What a line of Python prints in the notebook's kernel, beside its cells."""
    return page.evaluate(
        """async ([code, timeout]) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  let text = "", reply = null;
  for (let again = 0; again < 20 && reply?.content?.status !== "ok" && reply?.content?.status !== "error"; again++) {
    if (again) await new Promise((then) => setTimeout(then, 200)); // aborted: an error before it empties the queue
    const future = kernel.requestExecute({code, store_history: false});
    future.onIOPub = (message) => {
    if (message.header.msg_type === "stream") text += message.content.text;
    if (message.header.msg_type === "error") text += "ERROR " + message.content.ename + ": " + message.content.evalue;
  };
    reply = await Promise.race([future.done, new Promise((_, no) => setTimeout(() => no(new Error("no answer: " + code)), timeout))]);
  }
  return text.trim();
}""",
        [code, timeout],
    )


def screens(page: Any, name: str) -> None:
    """Screenshots in light and dark, 1280 and 800 pixels wide, from the top of the page; the page is left light and wide."""
    for theme in ("light", "dark"):
        dark(page, theme == "dark")
        for width in (1280, 800):
            page.set_viewport_size({"width": width, "height": 1400})
            page.wait_for_timeout(250)
            page.screenshot(path=str(SCREENS / f"{name}_{theme}_{width}.png"))
    dark(page, False)
    page.set_viewport_size({"width": 1280, "height": 1400})


def run_cell(page: Any, number: int) -> None:
    """Run one cell, counted from 0."""
    page.evaluate(
        """number => {
  window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;
  window.jupyterapp.commands.execute('notebook:run-cell');  // not awaited: it ends when the cell does
}""",
        number,
    )


def ended(page: Any, number: int, timeout: float = 400_000) -> None:
    """Wait until a cell that was run for the first time has ended."""
    page.wait_for_function(
        "n => /\\[\\d+\\]/.test(document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n].querySelector('.jp-InputPrompt').textContent)",
        arg=number,
        timeout=timeout,
    )


def save(page: Any, tries: int = 120) -> None:
    """Save the notebook until it is on disk as it stands: a widget may change it while it is saved."""
    for _ in range(tries):
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        if not page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty"):
            return
        page.wait_for_timeout(1000)
    raise AssertionError(f"the notebook is still changing after it was saved {tries} times")


def saved(page: Any, path: Path, shows: Callable[[Any], bool], tries: int = 60) -> Any:
    """Save the notebook until what lies on disk shows something (snapshots follow their widget a little later); the notebook."""
    import nbformat

    for _ in range(tries):
        save(page)
        book = nbformat.read(path, 4)
        if shows(book):
            break
        page.wait_for_timeout(1000)
    return book


def written(cell: Any, kind: str = "text/html") -> str:
    """What the outputs of a cell of a notebook hold of one kind."""
    return "\n".join(output.get("data", {}).get(kind, "") for output in cell.outputs)


def dark(page: Any, on: bool = True) -> None:
    theme = "JupyterLab Dark" if on else "JupyterLab Light"
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light",
        arg="false" if on else "true",
        timeout=120_000,
    )
    page.wait_for_timeout(150)


def open_notebook(page: Any, address: str, name: str) -> None:
    """Load a notebook and wait until its kernel answers."""
    page.goto(address.format(name))
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=120_000)
    page.wait_for_selector(".jp-Notebook", timeout=120_000)
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


def _await(url: str, seconds: float = 120) -> None:
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
