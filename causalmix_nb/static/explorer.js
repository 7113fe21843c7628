// Sliders over a mixture. Plain DOM; every text goes in as text. One question is under way at a time; the newest one waits.

const STYLE = `
.cm-explorer { font-family: var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, currentColor);
  border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); border-radius: 6px; padding: 10px 14px; max-width: 760px; line-height: 1.45; }
.cm-explorer h4 { margin: 0 0 6px; font-size: 1.05em; }
.cm-explorer .rows { max-height: 660px; overflow-y: auto; }
.cm-explorer .row { display: grid; grid-template-columns: minmax(50px, 150px) minmax(90px, 1fr) 64px auto 48px; gap: 8px; align-items: center; min-height: 30px; }
.cm-explorer .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cm-explorer .track { position: relative; display: flex; align-items: center; }
.cm-explorer input[type=range] { width: 100%; margin: 0; accent-color: #0072b2; }
.cm-explorer .mark { position: absolute; top: -1px; bottom: -1px; width: 2px; background: #d55e00; pointer-events: none; }
.cm-explorer input[type=number] { width: 60px; font: inherit; color: inherit; background: var(--jp-layout-color1, transparent); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); border-radius: 3px; }
.cm-explorer .epochs { font-size: .85em; min-width: 0; text-align: right; opacity: .85; }
.cm-explorer button { font: inherit; font-size: .92em; padding: 1px 10px; margin: 2px 6px 2px 0; border-radius: 4px; cursor: pointer; color: inherit;
  background: var(--jp-layout-color2, rgba(128,128,128,.15)); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); }
.cm-explorer .row button { margin: 0; padding: 1px 4px; }
.cm-explorer button[aria-pressed=true] { background: #0072b2; color: #fff; }
.cm-explorer :is(button, input):focus-visible { outline: 3px solid #0072b2; outline-offset: 1px; }
.cm-explorer .big { font-size: 1.15em; font-weight: 600; margin: 8px 0 2px; }
.cm-explorer .error { color: var(--jp-error-color0, #b71c1c); }
.cm-explorer pre { padding: 8px; overflow-x: auto; border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); }
`;
const SVG = "http://www.w3.org/2000/svg";
const SHAPE = { better: "▲", worse: "▼", not: "●" };

function make(parent, tag, props = {}, text = "") {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.textContent = text;
  parent.appendChild(node);
  return node;
}

function line(svg, x1, x2, y1, y2, color, width) {
  const node = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ x1, x2, y1, y2, stroke: color, "stroke-width": width })) node.setAttribute(name, value);
  svg.appendChild(node);
}

const number = (x) => (Math.abs(x) >= 1000 ? x.toFixed(0) : x.toPrecision(4));
const signed = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toPrecision(3);

function render({ model, el }) {
  const sheet = document.createElement("style");
  sheet.textContent = `${STYLE} .causalmix-snapshot-${model.get("live_id")} { display: none; }`;
  document.head.appendChild(sheet);
  const root = make(el, "div", { class: "cm-explorer", role: "group", "aria-label": "mixture explorer", "data-testid": "explorer", "data-lm-suppress-shortcuts": "true" });
  make(root, "h4", {}, "What would this mixture give?");

  const snaps = make(root, "div", { role: "group", "aria-label": "snap to" });
  model.get("presets").forEach((name, i) => {
    const button = make(snaps, "button", { "data-testid": `explorer-preset-${i}` }, name);
    button.onclick = () => ask({ preset: i, final: true });
  });
  const rows = make(root, "div", { class: "rows" });
  const domains = model.get("domains");
  const base = model.get("base");
  let local = [...model.get("shares")];
  const controls = domains.map((name, k) => {
    const row = make(rows, "div", { class: "row" });
    make(row, "span", { class: "name", title: name }, name);
    const track = make(row, "span", { class: "track" });
    const mark = make(track, "span", { class: "mark", title: "baseline" });
    mark.style.left = `calc(8px + (100% - 16px) * ${base[k]})`;
    const slider = make(track, "input", { type: "range", min: 0, max: 1, step: 0.005, "aria-label": `share of ${name}`, "data-testid": `explorer-slider-${k}` });
    const field = make(row, "input", { type: "number", min: 0, max: 100, step: 0.5, "aria-label": `share of ${name} in per cent`, "data-testid": `explorer-field-${k}` });
    const epochs = make(row, "span", { class: "epochs" });
    const lock = make(row, "button", { "aria-pressed": "false", "aria-label": `lock ${name}`, "data-testid": `explorer-lock-${k}` }, "lock");
    slider.oninput = () => move(k, Number(slider.value), false);
    slider.onchange = () => move(k, Number(slider.value), true);
    field.onchange = () => { if (field.value !== "") move(k, Number(field.value) / 100, true); };
    lock.onclick = () => ask({ lock: k, final: true });
    return { slider, field, epochs, lock };
  });
  const big = make(root, "div", { class: "big", "aria-live": "polite", "data-testid": "explorer-verdict" });
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("width", "100%");
  picture.setAttribute("height", "26");
  picture.setAttribute("role", "img");
  root.appendChild(picture);
  const said = make(root, "div", { "data-testid": "explorer-said" });
  const warning = make(root, "div", { class: "error", "data-testid": "explorer-warning" });
  const error = make(root, "div", { class: "error", role: "alert", "data-testid": "explorer-error" });
  const code = make(root, "button", { "aria-expanded": "false", "data-testid": "explorer-code" }, "Show code");
  const shown = make(root, "pre", { hidden: "", "data-testid": "explorer-pre" });
  code.onclick = () => {
    shown.hidden = !shown.hidden;
    shown.textContent = model.get("code");
    code.setAttribute("aria-expanded", String(!shown.hidden));
  };
  root.addEventListener("keydown", (event) => event.stopPropagation());

  let seq = 0, waiting = null, busy = 0;
  function ask(question) {
    if (busy && performance.now() - busy < 3000) { waiting = { ...(waiting ?? {}), ...question }; return; }
    busy = performance.now();
    model.send({ ...question, seq: ++seq });
  }
  function move(k, to, final) {
    const locked = model.get("locked");
    if (!locked[k]) { // the others follow at once; Python's answer is what counts
      const free = domains.map((_, i) => i !== k && !locked[i]);
      const held = local.reduce((sum, t, i) => sum + (!free[i] && i !== k ? t : 0), 0);
      const rest = local.reduce((sum, t, i) => sum + (free[i] ? t : 0), 0);
      const value = Math.min(Math.max(to, 0), 1 - held);
      if (free.some(Boolean)) local = local.map((t, i) => (i === k ? value : free[i] ? (rest > 1e-12 ? t / rest : 1 / free.filter(Boolean).length) * (1 - held - value) : t));
      place(k);
    }
    ask({ set: k, to, final });
  }
  function place(moving = -1) {
    controls.forEach((c, k) => {
      if (k !== moving) c.slider.value = local[k];
      if (document.activeElement !== c.field) c.field.value = (100 * local[k]).toFixed(1);
      c.slider.setAttribute("aria-valuetext", `${(100 * local[k]).toFixed(1)} per cent`);
    });
  }
  function draw() {
    const a = model.get("answer");
    busy = 0;
    if (waiting) { const next = waiting; waiting = null; ask(next); } else {
      local = [...model.get("shares")];
      place();
    }
    model.get("locked").forEach((on, k) => {
      controls[k].lock.setAttribute("aria-pressed", String(on));
      controls[k].slider.disabled = controls[k].field.disabled = on;
    });
    a.epochs.forEach((e, k) => { controls[k].epochs.textContent = e === null ? "" : `${e < 10 ? e.toPrecision(2) : Math.round(e)} epochs`; });
    big.textContent = `${SHAPE[a.verdict.split(" ")[0]]} ${a.verdict}`;
    said.textContent = `Gain ${signed(a.gain)} (95% interval ${signed(a.gain_lower)} to ${signed(a.gain_upper)}). Expected ${a.outcome} ` +
      `${number(a.mean)} (${number(a.lower)} to ${number(a.upper)}); ${a.minimize ? "lower" : "higher"} is better.`;
    picture.replaceChildren();
    picture.setAttribute("aria-label", said.textContent);
    const reach = Math.max(Math.abs(a.gain_lower), Math.abs(a.gain_upper), 1e-12) * 1.1;
    const at = (x) => `${50 + 50 * (x / reach)}%`;
    const color = a.gain_lower > 0 ? "#009e73" : a.gain_upper < 0 ? "#d55e00" : "#8a8a8a";
    line(picture, "0%", "100%", 13, 13, "rgba(128,128,128,.35)", 1);
    line(picture, "50%", "50%", 2, 24, "currentColor", 1.4);
    line(picture, at(a.gain_lower), at(a.gain_upper), 13, 13, color, 5);
    line(picture, at(a.gain), at(a.gain), 5, 21, color, 4);
    warning.textContent = a.warning ? `Mind: ${a.warning}.` : "";
    root.setAttribute("data-seq", String(a.seq));
  }
  const complain = () => { error.textContent = model.get("error"); if (error.textContent) draw(); };
  const recode = () => { shown.textContent = model.get("code"); };
  model.on("change:answer", draw);
  model.on("change:code", recode);
  model.on("change:error", complain);
  draw();
  complain();
  return () => {
    model.off("change:answer", draw);
    model.off("change:code", recode);
    model.off("change:error", complain);
    sheet.remove();
  };
}

export default { render };
