// Sliders over a mixture. Plain DOM; every text goes in as text. One question is under way at a time; the newest one waits.

const STYLE = `
.cm-explorer { font-family: var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, currentColor);
  border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); border-radius: 6px; padding: 10px 14px; max-width: 760px; line-height: 1.45; overflow-wrap: anywhere; }
.cm-explorer .title { margin: 0 0 6px; font-size: 1.05em; font-weight: 600; }
.cm-explorer .line { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: center; margin: 4px 0; }
.cm-explorer .rows { max-height: 660px; overflow-y: auto; padding: 2px 3px; }
.cm-explorer .row { display: grid; grid-template-columns: minmax(50px, 150px) minmax(90px, 1fr) 64px 84px 48px; gap: 8px; align-items: center; min-height: 30px; }
.cm-explorer .rows.plain .row { grid-template-columns: minmax(50px, 150px) minmax(90px, 1fr) 64px 48px; }
.cm-explorer .rows.plain .epochs { display: none; }
.cm-explorer .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cm-explorer .track { position: relative; display: flex; align-items: center; }
.cm-explorer input[type=range] { width: 100%; margin: 0; accent-color: #0072b2; }
.cm-explorer .mark { position: absolute; top: -1px; bottom: -1px; width: 2px; background: #d55e00; pointer-events: none; }
.cm-explorer :is(input[type=number], input[type=text], select) { font: inherit; color: inherit; background: var(--jp-layout-color1, Canvas); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); border-radius: 3px; max-width: 220px; }
.cm-explorer input[type=number] { width: 60px; }
.cm-explorer select option { color: var(--jp-ui-font-color1, CanvasText); background: var(--jp-layout-color1, Canvas); }
.cm-explorer .epochs { font-size: .85em; text-align: right; }
.cm-explorer .epochs.much { font-weight: 700; }
.cm-explorer button { font: inherit; font-size: .92em; padding: 1px 10px; border-radius: 4px; cursor: pointer; color: inherit;
  background: var(--jp-layout-color2, rgba(128,128,128,.15)); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); }
.cm-explorer .row button { padding: 1px 4px; }
.cm-explorer button[aria-pressed=true], .cm-explorer button[aria-expanded=true] { background: #0072b2; color: #fff; }
.cm-explorer :is(button, input, select, svg, .rows, pre):focus-visible { outline: 3px solid #2b8fd0; outline-offset: 1px; }
.cm-explorer .big { font-size: 1.15em; font-weight: 600; margin: 8px 0 2px; }
.cm-explorer .why { font-size: .92em; margin: 2px 0; }
.cm-explorer .error { color: var(--jp-error-color0, #b71c1c); }
.jp-mod-dark .cm-explorer .error, [data-jp-theme-light=false] .cm-explorer .error { color: #ff9a8f; }
.cm-explorer pre { padding: 8px; overflow-x: auto; color: inherit; background: transparent; border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); }
.cm-explorer .outcome { display: grid; grid-template-columns: minmax(60px, 170px) minmax(90px, 1fr) minmax(120px, 210px); gap: 8px; align-items: center; min-height: 26px; font-size: .95em; }
.cm-explorer svg text { fill: currentColor; font-size: 12px; }
.cm-explorer { container-type: inline-size; }
@container (max-width: 470px) {
  .cm-explorer .rows .row { grid-template-columns: minmax(40px, 90px) minmax(70px, 1fr) 60px 46px; gap: 2px 8px; }
  .cm-explorer .epochs { grid-row: 2; grid-column: 2 / -1; }
  .cm-explorer .outcome { grid-template-columns: 90px 1fr; gap: 0 8px; }
  .cm-explorer .outcome > :last-child { grid-column: 1 / -1; }
}
`;
const SHAPE = { better: "▲", worse: "▼", not: "●" };
const SIDE = 16, SIZE = 300, MARGIN = 80, TALL = Math.sqrt(0.75), MUCH = 4;

const number = (x) => (Math.abs(x) >= 1000 ? x.toFixed(0) : x.toPrecision(4));
const signed = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toPrecision(3);
const short = (name, most = 22) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
const colour = (low, high) => (low > 0 ? "#009e73" : high < 0 ? "#d55e00" : "#8a8a8a");

function band(svg, gain, low, high, reach) { // a gain with its interval around a line at 0
  svg.replaceChildren();
  const at = (x) => `${50 + 50 * (x / reach)}%`, paint = colour(low, high);
  const line = (x1, x2, y1, y2, stroke, width) => draw(svg, "line", { x1, x2, y1, y2, stroke, "stroke-width": width });
  line("0%", "100%", 13, 13, "rgba(128,128,128,.35)", 1);
  line("50%", "50%", 2, 24, "currentColor", 1.4);
  line(at(low), at(high), 13, 13, paint, 5);
  line(at(gain), at(gain), 5, 21, paint, 4);
}

function render({ model, el }) {
  const sheet = dress(model, STYLE);
  const root = make(el, "div", { class: "cm-explorer", role: "group", "aria-label": "mixture explorer", "data-testid": "explorer", "data-lm-suppress-shortcuts": "true" });
  make(root, "div", { class: "title" }, "What would this mixture give?");
  const domains = model.get("domains"), base = model.get("base");
  const pick = (parent, label, id, names, act) => {
    const select = make(parent, "select", { "aria-label": label, "data-testid": id });
    names.forEach(([value, name]) => make(select, "option", { value }, short(name, 40)));
    select.onchange = () => act(select.value);
    return select;
  };

  const top = make(root, "div", { class: "line" });
  const snaps = make(top, "div", { class: "line", role: "group", "aria-label": "snap to" });
  model.get("presets").forEach((name, i) => {
    make(snaps, "button", { "data-testid": `explorer-preset-${i}` }, name).onclick = () => ask({ preset: i, final: true });
  });
  const modes = make(top, "div", { class: "line", role: "group", "aria-label": "see or do" });
  const mode = Object.fromEntries(["do", "see"].map((name) => {
    const button = make(modes, "button", { "aria-pressed": "false", "data-testid": `explorer-${name}` }, name === "do" ? "Do" : "See");
    button.onclick = () => ask({ mode: name, final: true });
    return [name, button];
  }));
  const giver = make(make(root, "div", { class: "line" }), "label", {}, "A slider takes from ");
  const partner = pick(giver, "a slider takes from", "explorer-partner", [[-1, "all others, in proportion"], ...domains.map((name, k) => [k, name])],
    (value) => ask({ partner: Number(value), final: true }));

  const rows = make(root, "div", { class: "rows", role: "group", "aria-label": "shares", tabindex: "0" });
  let local = [...model.get("shares")];
  const controls = domains.map((name, k) => {
    const row = make(rows, "div", { class: "row" });
    make(row, "span", { class: "name", title: name, dir: "auto" }, name);
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
  const picture = draw(root, "svg", { width: "100%", height: 26, role: "img" });
  const answerText = make(root, "div", { "data-testid": "explorer-text" });
  const why = make(root, "div", { class: "why", "data-testid": "explorer-why" });
  const warning = make(root, "div", { class: "error", "data-testid": "explorer-warning" });
  const error = make(root, "div", { class: "error", role: "alert", "data-testid": "explorer-error" });

  const foot = make(root, "div", { class: "line" });
  const opens = (text, id, act) => {
    const button = make(foot, "button", { "aria-expanded": "false", "data-testid": `explorer-${id}` }, text);
    button.onclick = () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(open));
      act(open);
    };
    return button;
  };
  if (model.get("more")) opens("All outcomes", "bars", (open) => { outcomes.hidden = !open; ask({ bars: open, final: true }); });
  if (domains.length > 2) opens("Triangle", "triangle", (open) => { ternary.hidden = !open; ask({ three: open ? corners.map((c) => Number(c.value)) : null, final: true }); });
  const code = opens("Show code", "code", (open) => { shown.hidden = copy.hidden = !open; });
  const copy = make(foot, "button", { hidden: "", "data-testid": "explorer-copy" }, "Copy");
  copy.onclick = () => {
    navigator.clipboard?.writeText(shown.textContent).then(() => { note.textContent = "Copied."; }, () => { note.textContent = "The browser does not let it be copied; select it."; });
  };
  const file = make(foot, "input", { type: "text", value: "mixture.yaml", "aria-label": "file to export to", "data-testid": "explorer-file" });
  const save = () => ask({ export: file.value, final: true });
  make(foot, "button", { "data-testid": "explorer-export" }, "Export").onclick = save;
  file.onkeydown = (event) => { if (event.key === "Enter") save(); };
  const note = make(root, "div", { "aria-live": "polite", "data-testid": "explorer-note" });
  const shown = make(root, "pre", { hidden: "", tabindex: "0", role: "region", "aria-label": "code", "data-testid": "explorer-pre" });
  const outcomes = make(root, "div", { hidden: "", role: "group", "aria-label": "all outcomes", "data-testid": "explorer-outcomes" });

  // -- the triangle --
  const ternary = make(root, "div", { hidden: "", role: "group", "aria-label": "three domains" });
  const choice = make(ternary, "div", { class: "line" });
  const corners = ["top", "left", "right"].map((where, i) => {
    const select = pick(choice, `corner ${where}`, `explorer-corner-${i}`, domains.map((name, k) => [k, name]), () => ask({ three: corners.map((c) => Number(c.value)), final: true }));
    select.value = i;
    return select;
  });
  const svg = draw(ternary, "svg", { width: SIZE + 2 * MARGIN, height: TALL * SIZE + 54, viewBox: `${-MARGIN} -26 ${SIZE + 2 * MARGIN} ${TALL * SIZE + 54}`, tabindex: 0, role: "slider",
    "aria-valuemin": 0, "aria-valuemax": 100, "data-testid": "explorer-ternary" });
  svg.style.cssText = "max-width: 100%; height: auto; touch-action: none";
  const seen = make(ternary, "div", { class: "why", "data-testid": "explorer-ternary-words" });
  const at = ([a, , c]) => [SIZE * (c + a / 2), SIZE * TALL * (1 - a)];
  const cells = [];
  for (let i = 0; i < SIDE; i++) for (let j = 0; j < SIDE - i; j++) { // the order in which Python colours them
    const point = (a, b) => at([a / SIDE, b / SIDE, 1 - (a + b) / SIDE]).map((x) => x.toFixed(1)).join(",");
    cells.push(`${point(i, j)} ${point(i + 1, j)} ${point(i, j + 1)}`);
    if (j < SIDE - i - 1) cells.push(`${point(i + 1, j)} ${point(i, j + 1)} ${point(i + 1, j + 1)}`);
  }
  const ground = draw(svg, "g"), dots = draw(svg, "g");
  const shapes = cells.map((points) => draw(ground, "polygon", { points }));
  draw(svg, "polygon", { points: [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((x) => at(x).join(",")).join(" "), fill: "none", stroke: "currentColor", "stroke-opacity": 0.5 });
  const labels = [[SIZE / 2, -8], [0, TALL * SIZE + 18], [SIZE, TALL * SIZE + 18]].map(([x, y]) => draw(svg, "text", { x, y, "text-anchor": "middle" }));
  const ring = draw(svg, "circle", { r: 7, fill: "none", stroke: "#d55e00", "stroke-width": 3.5, "data-testid": "explorer-here" });
  const three = () => model.get("triangle").three;
  function divided() {
    const parts = three().map((k) => local[k]), sum = parts[0] + parts[1] + parts[2];
    return sum > 1e-9 ? parts.map((x) => x / sum) : [1 / 3, 1 / 3, 1 / 3];
  }
  function divide(parts, final = true) {
    const kept = parts.map((x) => Math.max(0, x)), sum = kept[0] + kept[1] + kept[2];
    if (!three() || sum <= 0) return;
    const part = three().reduce((total, k) => total + local[k], 0);
    if (!three().some((k) => model.get("locked")[k])) three().forEach((k, i) => { local[k] = (part * kept[i]) / sum; });
    place();
    ask({ divide: kept, final });
  }
  const drag = (event, final) => {
    const box = svg.getBoundingClientRect(), scale = (SIZE + 2 * MARGIN) / box.width;
    const x = (event.clientX - box.left) * scale - MARGIN, y = (event.clientY - box.top) * scale - 26;
    const a = Math.min(1, Math.max(0, 1 - y / (TALL * SIZE))), c = Math.min(1 - a, Math.max(0, x / SIZE - a / 2));
    divide([a, 1 - a - c, c], final);
  };
  svg.onpointerdown = (event) => { svg.setPointerCapture(event.pointerId); drag(event, false); };
  svg.onpointermove = (event) => { if (event.buttons & 1) drag(event, false); };
  svg.onpointerup = (event) => drag(event, true);
  svg.onkeydown = (event) => {
    const step = { ArrowUp: [2, -1, -1], ArrowDown: [-2, 1, 1], ArrowLeft: [0, 1, -1], ArrowRight: [0, -1, 1] }[event.key];
    if (!step || !three()) return;
    event.preventDefault();
    divide(divided().map((x, i) => x + 0.01 * step[i]));
  };
  function drawTriangle() {
    const t = model.get("triangle");
    if (!t.three) return;
    shapes.forEach((shape, i) => {
      shape.setAttribute("fill", t.covered[i] ? "#0072b2" : "#777777");
      shape.setAttribute("fill-opacity", 0.06 + 0.8 * t.strength[i]);
    });
    dots.replaceChildren();
    t.runs.forEach(([a, b, c, weight]) => {
      const [cx, cy] = at([a, b, c]);
      draw(dots, "circle", { cx, cy, r: 2.2, fill: "currentColor", "fill-opacity": 0.15 + 0.6 * weight });
    });
    labels.forEach((label, i) => { label.textContent = short(domains[t.three[i]], 18); });
    seen.textContent = `${t.words} Stronger is better, grey is where no run was near; dots are runs, the ring is this mixture. These three have ${(100 * t.part).toFixed(1)} % together.`;
  }
  function placeRing() {
    if (!three()) return;
    const parts = divided(), [cx, cy] = at(parts), names = three().map((k) => domains[k]);
    ring.setAttribute("cx", cx);
    ring.setAttribute("cy", cy);
    svg.setAttribute("aria-label", `division between ${names.join(", ")}; arrow keys move it`);
    svg.setAttribute("aria-valuenow", Math.round(100 * parts[0]));
    svg.setAttribute("aria-valuetext", names.map((name, i) => `${name} ${Math.round(100 * parts[i])} per cent`).join(", "));
  }

  // -- asking and showing --
  root.addEventListener("keydown", (event) => event.stopPropagation());
  let seq = 0, waiting = null, busy = 0;
  function ask(question) {
    if (busy && performance.now() - busy < 3000) { waiting = { ...(waiting ?? {}), ...question }; return; }
    busy = performance.now();
    root.setAttribute("aria-busy", "true");
    model.send({ ...question, seq: ++seq });
  }
  function move(k, to, final) {
    const locked = model.get("locked"), from = model.get("partner");
    if (!locked[k]) { // the others follow at once; Python's answer is what counts
      const free = domains.map((_, i) => i !== k && !locked[i] && (from < 0 || from === k || i === from));
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
    placeRing();
  }
  function drawBars() {
    const bars = model.get("bars");
    outcomes.replaceChildren();
    if (!bars.length) return;
    make(outcomes, "div", { class: "why" }, "Gain over the baseline in each outcome, in standard deviations over the runs; right is better. The others are fitted quickly: a first look.");
    const reach = Math.max(1e-9, ...bars.flatMap((b) => b.bar.map(Math.abs))) * 1.05;
    bars.forEach((b) => {
      const row = make(outcomes, "div", { class: "outcome" });
      make(row, "span", { class: "name", title: b.outcome, dir: "auto" }, b.outcome);
      const words = `gain ${signed(b.gain)} (${signed(b.gain_lower)} to ${signed(b.gain_upper)})`;
      band(draw(row, "svg", { width: "100%", height: 26, role: "img", "aria-label": `${b.outcome}: ${words}, ${b.verdict}` }), ...b.bar, reach);
      make(row, "span", { "data-testid": "explorer-bar" }, `${SHAPE[b.verdict.split(" ")[0]]} ${words.slice(5)}`);
    });
  }
  function answered() {
    const a = model.get("answer");
    busy = 0;
    if (waiting) { const next = waiting; waiting = null; ask(next); } else {
      local = [...model.get("shares")];
      place();
      root.setAttribute("aria-busy", "false");
    }
    model.get("locked").forEach((on, k) => {
      controls[k].lock.setAttribute("aria-pressed", String(on));
      controls[k].slider.disabled = controls[k].field.disabled = on;
    });
    rows.classList.toggle("plain", a.epochs.every((e) => e === null));
    a.epochs.forEach((e, k) => {
      controls[k].epochs.textContent = e === null ? "" : `${e > MUCH ? "▲ " : ""}${e < 10 ? e.toPrecision(2) : Math.round(e)} epochs`;
      controls[k].epochs.classList.toggle("much", e > MUCH);
      controls[k].epochs.title = e > MUCH ? "more than four times over: repeating text pays less and less" : "how often what there is would be read";
    });
    for (const [name, button] of Object.entries(mode)) button.setAttribute("aria-pressed", String(a.mode === name));
    partner.value = model.get("partner");
    big.textContent = `${SHAPE[a.verdict.split(" ")[0]]} ${a.mode === "see" ? "seen " : ""}${a.verdict}`;
    answerText.textContent = `Gain ${signed(a.gain)} (95% interval ${signed(a.gain_lower)} to ${signed(a.gain_upper)}). Expected ${a.outcome} ` +
      `${number(a.mean)} (${number(a.lower)} to ${number(a.upper)}); ${a.minimize ? "lower" : "higher"} is better.`;
    why.textContent = a.why + (a.done ? ` Causal effect (do): gain ${signed(a.done[0])} (${signed(a.done[1])} to ${signed(a.done[2])}).` : "");
    picture.setAttribute("aria-label", answerText.textContent);
    band(picture, a.gain, a.gain_lower, a.gain_upper, Math.max(Math.abs(a.gain_lower), Math.abs(a.gain_upper), ...(a.done ?? []).map(Math.abs), 1e-12) * 1.1);
    warning.textContent = a.warning ? `Warning: ${a.warning}.` : "";
    root.setAttribute("data-seq", String(a.seq));
  }
  const complain = () => { error.textContent = model.get("error"); if (error.textContent) answered(); };
  const noted = () => { note.textContent = model.get("note"); };
  const recode = () => { shown.textContent = model.get("code"); };
  const triangle = () => { drawTriangle(); placeRing(); };
  const deaf = listen(model, { answer: answered, code: recode, error: complain, bars: drawBars, triangle, note: noted });
  answered();
  recode();
  complain();
  drawBars();
  triangle();
  return () => {
    deaf();
    sheet.remove();
  };
}

export default { render };
