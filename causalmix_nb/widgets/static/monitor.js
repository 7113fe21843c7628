// The swarm while it trains. Plain DOM; every text goes in as text.

const STYLE = `
.cm-monitor { font-family: var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, currentColor);
  border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); border-radius: 6px; padding: 10px 14px; max-width: 760px; line-height: 1.45; overflow-wrap: anywhere; }
.cm-monitor .title { margin: 0 0 6px; font-size: 1.05em; font-weight: 600; }
.cm-monitor .bar { height: 14px; border-radius: 3px; overflow: hidden; background: rgba(128,128,128,.25); margin: 4px 0 6px; }
.cm-monitor .bar > div { height: 100%; width: 0; background: #0072b2; transition: width .3s; }
.cm-monitor .runs { display: flex; flex-wrap: wrap; gap: 2px; margin: 8px 0; padding: 3px; border-radius: 3px; }
.cm-monitor .runs > span { width: 11px; height: 11px; border-radius: 2px; background: #0072b2; box-sizing: border-box; }
.cm-monitor .runs > span.failed { background: transparent; border: 2px solid #c75000; }
.cm-monitor .runs > span.todo { background: rgba(128,128,128,.25); }
.cm-monitor .runs > span[aria-selected=true] { outline: 2px solid currentColor; opacity: 1 !important; }
.cm-monitor .chosen { min-height: 1.45em; font-size: .92em; overflow-wrap: anywhere; }
.cm-monitor button { font: inherit; padding: 2px 12px; margin-right: 8px; border-radius: 4px; cursor: pointer;
  color: inherit; background: var(--jp-layout-color2, rgba(128,128,128,.15)); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); }
.cm-monitor button[aria-expanded=true] { background: #0072b2; color: #fff; }
.cm-monitor button:disabled { opacity: .45; cursor: default; }
.cm-monitor :is(button, .runs, pre):focus-visible { outline: 3px solid #2b8fd0; outline-offset: 1px; }
.cm-monitor .error { color: var(--jp-error-color0, #b71c1c); }
.jp-mod-dark .cm-monitor .error, [data-jp-theme-light=false] .cm-monitor .error { color: #ff9a8f; }
.cm-monitor pre { padding: 8px; overflow-x: auto; color: inherit; background: transparent; border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); }
@media (prefers-reduced-motion: reduce) { .cm-monitor .bar > div { transition: none; } }
`;
const MOST = 600; // squares

const clock = (s) => (s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`
  : s >= 60 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${Math.round(s)} s`);

function render({ model, el }) {
  const id = model.get("live_id");
  const sheet = dress(model, STYLE);

  const root = make(el, "div", { class: "cm-monitor", role: "group", "aria-label": "monitor of the proxy runs", "data-testid": "monitor", "data-lm-suppress-shortcuts": "true" });
  make(root, "div", { class: "title" }, "Proxy runs");
  const standing = make(root, "div", { "aria-live": "polite", "data-testid": "monitor-text" });
  const bar = make(root, "div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "runs done", "data-testid": "monitor-bar" });
  const fill = make(bar, "div");
  const line = make(root, "div", { "data-testid": "monitor-line" });
  const squares = make(root, "div", { class: "runs", role: "listbox", tabindex: "0", "data-testid": "monitor-runs" });
  const about = make(root, "div", { class: "chosen", "aria-live": "polite", "data-testid": "monitor-chosen" });
  const failures = make(root, "ul", { "data-testid": "monitor-failures", "aria-label": "failures" });
  const buttons = make(root, "div");
  const stop = make(buttons, "button", { "data-testid": "monitor-stop" }, "Stop");
  const resume = make(buttons, "button", { "data-testid": "monitor-resume" }, "Go on");
  const code = make(buttons, "button", { "data-testid": "monitor-code", "aria-expanded": "false" }, "Show code");
  const shown = make(root, "pre", { hidden: "", tabindex: "0", role: "region", "aria-label": "code", "data-testid": "monitor-pre" });
  const error = make(root, "div", { class: "error", role: "alert", "data-testid": "monitor-error" });

  stop.onclick = () => { stop.disabled = true; model.send({ do: "stop" }); };
  resume.onclick = () => { resume.disabled = true; model.send({ do: "resume" }); };
  code.onclick = () => {
    shown.hidden = !shown.hidden;
    shown.textContent = model.get("code");
    code.setAttribute("aria-expanded", String(!shown.hidden));
  };

  let chosen = -1; // the run whose result is told, by mouse or arrow keys
  function choose(i) {
    chosen = Math.max(0, Math.min(i, squares.children.length - 1));
    tell();
  }
  function tell() {
    [...squares.children].forEach((square, i) => square.setAttribute("aria-selected", String(i === chosen)));
    const square = squares.children[chosen];
    if (square) squares.setAttribute("aria-activedescendant", square.id);
    const words = square ? `run ${chosen + 1}: ${square.title}` : "";
    if (about.textContent !== words) about.textContent = words;
  }
  squares.onclick = (event) => { const i = [...squares.children].indexOf(event.target); if (i >= 0) choose(i); };
  squares.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -MOST, End: MOST }[event.key];
    if (step) { event.preventDefault(); choose(chosen + step); }
  };
  squares.onfocus = () => { if (chosen < 0 && squares.children.length && squares.matches(":focus-visible")) choose(0); };
  root.addEventListener("keydown", (event) => event.stopPropagation());

  let spoken = "";
  function draw() {
    const v = model.get("view"), runs = model.get("runs");
    const share = v.total ? Math.min(1, v.done / v.total) : 0;
    fill.style.width = `${100 * share}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    if (v.status !== spoken) { standing.textContent = v.status === "running" ? "training" : v.text; spoken = v.status; }
    const parts = v.total ? [`${v.stage}: ${v.done}/${v.total}`] : [v.stage];
    if (v.speed && v.status === "running") parts.push(`${Math.round(v.speed).toLocaleString()} tokens/s`);
    if (v.eta && v.status === "running") parts.push(`${clock(v.eta)} left`);
    if (v.best !== null) parts.push(`best ${v.outcome} ${v.best.toPrecision(4)}`);
    if (v.failed) parts.push(`${v.failed} failed`);
    line.textContent = parts.filter(Boolean).join(" · ");
    const todo = v.stage === "proxy runs" && v.status === "running" ? Math.max(0, v.total - v.done - v.failed) : 0;
    const wanted = Math.min(MOST, runs.length + todo);
    while (squares.children.length > wanted) squares.lastChild.remove();
    while (squares.children.length < wanted) make(squares, "span", { role: "option", "aria-selected": "false", id: `cm-${id}-${squares.children.length}` });
    [...squares.children].forEach((square, i) => {
      const run = runs[i];
      square.className = !run ? "todo" : run.ok ? "" : "failed";
      square.style.opacity = run?.ok ? 0.25 + 0.75 * (run.rank ?? 0) : 1;
      const words = run ? run.text : "to go";
      if (square.title !== words) { square.title = words; square.setAttribute("aria-label", words); }
    });
    squares.hidden = !wanted;
    squares.setAttribute("aria-label", `${runs.length} runs recorded, stronger is better; ${v.failures.length ? "some failed" : "none failed"}; arrow keys tell each`);
    if (chosen >= 0) tell();
    failures.replaceChildren();
    failures.hidden = !v.failures.length;
    v.failures.forEach((reason) => make(failures, "li", {}, reason));
    stop.disabled = v.status !== "running";
    resume.disabled = !["stopped", "gone", "failed"].includes(v.status);
    if (!shown.hidden) shown.textContent = model.get("code");
  }
  const complain = () => { error.textContent = model.get("error"); if (error.textContent) draw(); };
  const deaf = listen(model, { view: draw, runs: draw, error: complain });
  draw();
  complain();
  return () => {
    deaf();
    sheet.remove();
  };
}

export default { render };
