// The swarm while it trains. Plain DOM; every text goes in as text.

const STYLE = `
.cm-monitor { font-family: var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, currentColor);
  border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); border-radius: 6px; padding: 10px 14px; max-width: 760px; line-height: 1.45; }
.cm-monitor h4 { margin: 0 0 6px; font-size: 1.05em; }
.cm-monitor .bar { height: 14px; border-radius: 3px; overflow: hidden; background: rgba(128,128,128,.25); margin: 4px 0 6px; }
.cm-monitor .bar > div { height: 100%; width: 0; background: #0072b2; transition: width .3s; }
.cm-monitor .runs { display: flex; flex-wrap: wrap; gap: 2px; margin: 8px 0; }
.cm-monitor .runs > span { width: 10px; height: 10px; border-radius: 2px; background: #0072b2; }
.cm-monitor .runs > span.failed { background: transparent; border: 2px solid #b34a00; box-sizing: border-box; }
.cm-monitor .runs > span.todo { background: rgba(128,128,128,.25); }
.cm-monitor button { font: inherit; padding: 2px 12px; margin-right: 8px; border-radius: 4px; cursor: pointer;
  color: inherit; background: var(--jp-layout-color2, rgba(128,128,128,.15)); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); }
.cm-monitor button:disabled { opacity: .45; cursor: default; }
.cm-monitor button:focus-visible { outline: 3px solid #0072b2; outline-offset: 1px; }
.cm-monitor .error { color: var(--jp-error-color0, #b71c1c); }
.cm-monitor pre { padding: 8px; overflow-x: auto; border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); }
@media (prefers-reduced-motion: reduce) { .cm-monitor .bar > div { transition: none; } }
`;

const clock = (s) => (s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`
  : s >= 60 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${Math.round(s)} s`);

function make(parent, tag, props = {}, text = "") {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.textContent = text;
  parent.appendChild(node);
  return node;
}

function render({ model, el }) {
  const hide = document.createElement("style");
  hide.textContent = `${STYLE} .causalmix-snapshot-${model.get("live_id")} { display: none; }`;
  document.head.appendChild(hide);

  const root = make(el, "div", { class: "cm-monitor", "data-testid": "monitor", "data-lm-suppress-shortcuts": "true" });
  make(root, "h4", {}, "Proxy runs");
  const said = make(root, "div", { "aria-live": "polite", "data-testid": "monitor-said" });
  const bar = make(root, "div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "runs done" });
  const fill = make(bar, "div");
  const line = make(root, "div", { "data-testid": "monitor-line" });
  const squares = make(root, "div", { class: "runs", role: "img", "data-testid": "monitor-runs" });
  const failures = make(root, "ul", { "data-testid": "monitor-failures" });
  const buttons = make(root, "div");
  const stop = make(buttons, "button", { "data-testid": "monitor-stop" }, "Stop");
  const resume = make(buttons, "button", { "data-testid": "monitor-resume" }, "Go on");
  const code = make(buttons, "button", { "data-testid": "monitor-code", "aria-expanded": "false" }, "Show code");
  const shown = make(root, "pre", { hidden: "" });
  const error = make(root, "div", { class: "error", role: "alert", "data-testid": "monitor-error" });

  stop.onclick = () => { stop.disabled = true; model.send({ do: "stop" }); };
  resume.onclick = () => { resume.disabled = true; model.send({ do: "resume" }); };
  code.onclick = () => {
    shown.hidden = !shown.hidden;
    shown.textContent = model.get("code");
    code.setAttribute("aria-expanded", String(!shown.hidden));
  };
  root.addEventListener("keydown", (event) => event.stopPropagation());

  let spoken = "";
  function draw() {
    const v = model.get("view");
    const share = v.total ? Math.min(1, v.done / v.total) : 0;
    fill.style.width = `${100 * share}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    if (v.status !== spoken) { said.textContent = v.status === "running" ? "training" : v.said; spoken = v.status; }
    const parts = v.total ? [`${v.stage}: ${v.done}/${v.total}`] : [v.stage];
    if (v.speed && v.status === "running") parts.push(`${Math.round(v.speed).toLocaleString()} tokens/s`);
    if (v.eta && v.status === "running") parts.push(`${clock(v.eta)} left`);
    if (v.best !== null) parts.push(`best ${v.outcome} ${v.best.toPrecision(4)}`);
    if (v.failed) parts.push(`${v.failed} failed`);
    line.textContent = parts.filter(Boolean).join(" · ");
    const todo = v.stage === "proxy runs" && v.status === "running" ? Math.max(0, v.total - v.done - v.failed) : 0;
    while (squares.children.length > v.runs.length + todo) squares.lastChild.remove();
    while (squares.children.length < Math.min(600, v.runs.length + todo)) make(squares, "span");
    v.runs.forEach((run, i) => {
      const square = squares.children[i];
      square.className = run.ok ? "" : "failed";
      square.style.opacity = run.ok ? 0.25 + 0.75 * (run.rank ?? 0) : 1;
      square.title = run.said;
    });
    for (let i = v.runs.length; i < squares.children.length; i++) {
      squares.children[i].className = "todo";
      squares.children[i].title = "to go";
    }
    squares.setAttribute("aria-label", `${v.runs.length} runs recorded, darker is better; ${v.failures.length ? "some failed" : "none failed"}`);
    failures.replaceChildren();
    v.failures.forEach((reason) => make(failures, "li", {}, reason));
    stop.disabled = v.status !== "running";
    resume.disabled = !["stopped", "gone", "failed"].includes(v.status);
    if (!shown.hidden) shown.textContent = model.get("code");
  }
  const complain = () => { error.textContent = model.get("error"); };
  model.on("change:view", draw);
  model.on("change:error", complain);
  draw();
  complain();
  return () => {
    model.off("change:view", draw);
    model.off("change:error", complain);
    hide.remove();
  };
}

export default { render };
