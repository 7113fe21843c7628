// The causal graph by mouse or keyboard. Hand-written SVG; every name goes in as text; Python decides what the graph is.

const STYLE = `
.cm-dag { font-family: var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, currentColor);
  border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); border-radius: 6px; padding: 10px 14px; max-width: 900px; line-height: 1.45; overflow-wrap: anywhere; }
.cm-dag .bar { display: flex; flex-wrap: wrap; gap: 4px; margin-bottom: 6px; }
.cm-dag button, .cm-dag input { font: inherit; font-size: .92em; padding: 2px 8px; border-radius: 4px; color: inherit;
  background: var(--jp-layout-color2, rgba(128,128,128,.15)); border: 1px solid var(--jp-border-color1, rgba(128,128,128,.6)); }
.cm-dag button { cursor: pointer; }
.cm-dag input { background: var(--jp-layout-color1, transparent); width: 150px; }
.cm-dag button:is([aria-pressed=true], [aria-expanded=true]) { background: #0072b2; color: #fff; }
.cm-dag button:disabled { opacity: .45; cursor: default; }
.cm-dag :is(button, input, .stage, pre):focus-visible { outline: 3px solid #2b8fd0; outline-offset: 1px; }
.cm-dag .node:focus .shape { filter: drop-shadow(0 0 3px #2b8fd0); }
.cm-dag .stage { overflow: auto; max-height: 640px; }
.cm-dag svg { display: block; touch-action: none; user-select: none; }
.cm-dag svg text { fill: currentColor; text-anchor: middle; pointer-events: none; }
.cm-dag .node { cursor: grab; outline: none; }
.cm-dag .node .shape { stroke-width: 1.8; }
.cm-dag .node.selected .shape, .cm-dag .node:focus .shape { stroke-width: 4; }
.cm-dag .node.target .shape { stroke: #009e73; stroke-width: 4; }
.cm-dag .node.bad .shape { stroke: #b71c1c; stroke-width: 4; stroke-dasharray: 3 3; }
.cm-dag .edge { cursor: pointer; outline: none; }
.cm-dag .edge path { fill: none; stroke: currentColor; stroke-width: 1.8; }
.cm-dag .edge .hit { stroke: transparent; stroke-width: 14; }
.cm-dag .edge.selected .line, .cm-dag .edge:focus .line { stroke: #0072b2; stroke-width: 4; }
.cm-dag .edge polygon { fill: currentColor; }
.cm-dag .edge.hidden .line { stroke-dasharray: 6 4; }
.cm-dag .error { color: var(--jp-error-color0, #b71c1c); min-height: 1.45em; }
.jp-mod-dark .cm-dag .error, [data-jp-theme-light=false] .cm-dag .error { color: #ff9a8f; }
.cm-dag .legend { font-size: .92em; margin: 2px 0; }
.cm-dag ul { margin: 4px 0; padding-left: 18px; }
.cm-dag pre { padding: 8px; overflow-x: auto; color: inherit; background: transparent; border: 1px solid var(--jp-border-color2, rgba(128,128,128,.4)); }
`;
const COLOR = { treatment: "#0072B2", outcome: "#D55E00", mediator: "#CC79A7", covariate: "#009E73", other: "#808080" }; // as in graph/drawing.py
const H = 22; // half the height of a node

const short = (name) => ([...name].length > 20 ? `${[...name].slice(0, 19).join("")}…` : name);
const wide = (text) => [...text].reduce((sum, c) => sum + (c.codePointAt(0) > 0x2e7f ? 8.6 : 4.4), 0); // half of what it takes, in pixels
const half = (name, role) => Math.max(wide(short(name)), role.length * 3.2, 20) + 16;

function render({ model, el }) {
  const sheet = dress(model, STYLE);
  const root = make(el, "div", { class: "cm-dag", role: "group", "aria-label": "causal graph editor", "data-testid": "dag", "data-lm-suppress-shortcuts": "true" });
  const bar = make(root, "div", { class: "bar", role: "toolbar", "aria-label": "edit" });
  const field = make(bar, "input", { type: "text", placeholder: "name of a node", "aria-label": "name of a node", maxlength: 200, "data-testid": "dag-name" });
  const button = (text, id, act, props = {}) => {
    const made = make(bar, "button", { "data-testid": `dag-${id}`, ...props }, text);
    made.onclick = act;
    return made;
  };
  let view = model.get("view"), selected = null, mode = null, from = null, place = null, shapes = new Map(), focusOn = null;
  const send = (content) => model.send(content);
  const isNode = (key) => typeof key === "string";
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  const copy = (text) => navigator.clipboard?.writeText(text).then(() => say("Copied."), () => say("The browser does not let it be copied; select it."));
  button("Add node", "add", addNode);
  const arrow = button("Arrow", "arrow", () => setMode(mode === "edge" ? null : "edge"), { "aria-pressed": "false" });
  const hidden = button("Hidden cause", "hidden", () => setMode(mode === "hidden" ? null : "hidden"), { "aria-pressed": "false" });
  button("Reverse", "reverse", reverse);
  button("Rename", "rename", rename);
  button("Delete", "delete", remove);
  const undo = button("Undo", "undo", () => send({ do: "undo" }));
  const redo = button("Redo", "redo", () => send({ do: "redo" }));
  const code = button("Show code", "code", () => { shown.hidden = copied.hidden = !shown.hidden; code.setAttribute("aria-expanded", String(!shown.hidden)); }, { "aria-expanded": "false" });
  const copied = button("Copy", "copy", () => copy(shown.textContent), { hidden: "" });
  const stage = make(root, "div", { class: "stage", tabindex: "0", role: "region", "aria-label": "the graph" });
  const svg = draw(stage, "svg", { role: "application", "aria-label": "causal graph; Tab reaches nodes and arrows", "data-testid": "dag-svg" });
  make(root, "div", { class: "legend" }, "box: treatment · pill: outcome · hexagon: mediator · rounded: covariate · dashed: other; a dashed arrow with two heads: a hidden common cause");
  const status = make(root, "div", { "aria-live": "polite", "data-testid": "dag-status" });
  const error = make(root, "div", { class: "error", role: "alert", "data-testid": "dag-error" });
  const advice = make(root, "ul", { "data-testid": "dag-advice", "aria-label": "what the graph says" });
  make(root, "div", { class: "legend" }, "Mouse: drag a node to move it; Arrow, then drag from cause to effect; double-click the ground to name a new node. " +
    "Keys on a node: E arrow, H hidden cause (then go to the other node, Enter), F2 rename, Delete, arrow keys to the next node, Alt+arrows move it; on an arrow: R reverse, Delete; Ctrl+Z undo.");
  const shown = make(root, "pre", { hidden: "", tabindex: "0", role: "region", "aria-label": "code", "data-testid": "dag-pre" });

  function say(text) { status.textContent = text; }
  function setMode(next) {
    mode = next;
    from = null;
    arrow.setAttribute("aria-pressed", String(mode === "edge"));
    hidden.setAttribute("aria-pressed", String(mode === "hidden"));
    say(mode === "edge" ? "Arrow: drag from the cause to the effect, or choose the cause first." : mode === "hidden" ? "Hidden cause: drag between the two it moves." : "");
    mark(null);
  }
  function addNode() {
    send({ do: "add_node", a: field.value, ...(place ?? {}) });
    focusOn = field.value.trim();
    place = null;
    field.value = "";
  }
  function rename() {
    if (!isNode(selected)) return say("Choose a node to rename first.");
    if (!field.value.trim() || field.value === selected) { field.value = selected; field.focus(); field.select(); return say("Type the new name, then Rename."); }
    send({ do: "rename", a: selected, b: field.value });
    focusOn = selected = field.value.trim();
    field.value = "";
  }
  function remove() {
    if (!selected) return say("Choose a node or an arrow first.");
    if (isNode(selected)) send({ do: "delete_node", a: selected });
    else send({ do: selected[0] === "edge" ? "delete_edge" : "delete_hidden", a: selected[1], b: selected[2] });
    selected = null;
  }
  function reverse() {
    if (!selected || isNode(selected) || selected[0] !== "edge") return say("Choose an arrow first.");
    send({ do: "reverse", a: selected[1], b: selected[2] });
    focusOn = selected = ["edge", selected[2], selected[1]];
  }
  field.onkeydown = (event) => { if (event.key === "Enter") (isNode(selected) && field.dataset.rename ? rename() : addNode()); };

  const node = (name) => view.nodes.find((n) => n.name === name);
  function cycle(a, b) { // would a -> b close a circle?
    return mode !== "hidden" && (a === b || node(a)?.causes.includes(b));
  }
  function mark(target) {
    for (const [name, group] of shapes) {
      group.classList.toggle("selected", same(selected, name));
      group.classList.toggle("bad", from !== null && from !== name && cycle(from, name));
      group.classList.toggle("target", from !== null && target === name && target !== from && !cycle(from, name));
    }
    svg.querySelectorAll(".edge").forEach((e) => e.classList.toggle("selected", same(selected, e.key)));
    if (from !== null && target && target !== from) {
      say(cycle(from, target) ? `${from} -> ${target} would make a cycle: ${target} already causes ${from}.` : `${from} ${mode === "hidden" ? "<->" : "->"} ${target}`);
    }
  }
  function choose(key) {
    selected = key;
    mark(null);
    say(isNode(key) ? `${key} is chosen.` : `${key[1]} ${key[0] === "edge" ? "->" : "<->"} ${key[2]} is chosen.`);
  }
  function finish(target) {
    if (from !== null && target && target !== from) {
      if (cycle(from, target)) say(`${from} -> ${target} would make a cycle: ${target} already causes ${from}. Nothing was drawn.`);
      else { send({ do: mode === "hidden" ? "add_hidden" : "add_edge", a: from, b: target }); focusOn = from; }
    }
    from = null;
    mark(null);
  }

  // -- drawing --
  function edgePath(a, b, bend) {
    const A = node(a), B = node(b), dx = B.x - A.x, dy = B.y - A.y;
    const mid = { x: (A.x + B.x) / 2 - bend * dy, y: (A.y + B.y) / 2 + bend * dx };
    const clip = (n, to) => { // where the line to a point leaves the box of a node
      const w = half(n.name, n.role) + 5, h = H + 5, x = to.x - n.x, y = to.y - n.y;
      const scale = Math.min(Math.abs(x) > 1e-6 ? w / Math.abs(x) : Infinity, Math.abs(y) > 1e-6 ? h / Math.abs(y) : Infinity, 1);
      return { x: n.x + x * scale, y: n.y + y * scale };
    };
    const start = clip(A, mid), end = clip(B, mid);
    return { start, mid, end, path: `M${start.x} ${start.y} Q${mid.x} ${mid.y} ${end.x} ${end.y}` };
  }
  function crosses({ start, mid, end }, others) { // does the curve run through one of these nodes, or above the ground?
    for (let t = 0.05; t < 1; t += 0.05) {
      const at = (k) => (1 - t) * (1 - t) * start[k] + 2 * t * (1 - t) * mid[k] + t * t * end[k], x = at("x"), y = at("y");
      if (y < 4 || others.some(([n, w]) => Math.abs(n.x - x) < w + 3 && Math.abs(n.y - y) < H + 3)) return true;
    }
    return false;
  }
  function route(kind, a, b) { // the least bent of some curves that cross no node, a hidden cause beside the arrow of its pair
    const straight = Math.hypot(node(b).x - node(a).x, node(b).y - node(a).y) || 1, away = (pixels) => pixels / straight;
    const arrow = kind === "hidden" && view.edges.find((pair) => pair.includes(a) && pair.includes(b));
    const taken = arrow ? route("edge", ...arrow).bend * (arrow[0] === a ? 1 : -1) : null;
    const bends = [...(kind === "hidden" ? [0.22, -0.22] : [0]), ...[60, -60, 100, -100, 150, -150, 210, -210].map(away)];
    const free = bends.filter((bend) => taken === null || Math.abs(bend - taken) >= away(40));
    const others = view.nodes.filter((n) => n.name !== a && n.name !== b).map((n) => [n, half(n.name, n.role)]);
    const bend = free.find((some) => !crosses(edgePath(a, b, some), others)) ?? free[0];
    return { bend, ...edgePath(a, b, bend) };
  }
  function head(point, towards) {
    const angle = Math.atan2(point.y - towards.y, point.x - towards.x), at = (turn, r) => `${point.x - r * Math.cos(angle + turn)},${point.y - r * Math.sin(angle + turn)}`;
    return `${point.x},${point.y} ${at(0.4, 11)} ${at(-0.4, 11)}`;
  }
  function placeEdge(group) { // returns how far down it reaches
    const [kind, a, b] = group.key, geometry = route(kind, a, b);
    group.querySelectorAll("path").forEach((p) => p.setAttribute("d", geometry.path));
    const heads = group.querySelectorAll("polygon");
    heads[0].setAttribute("points", head(geometry.end, geometry.mid));
    if (heads[1]) heads[1].setAttribute("points", head(geometry.start, geometry.mid));
    return Math.max(geometry.start.y, geometry.end.y, (geometry.start.y + 2 * geometry.mid.y + geometry.end.y) / 4);
  }
  function redraw() {
    const focused = document.activeElement?.key ?? null;
    view.nodes.forEach((n) => { n.x = Math.max(n.x, half(n.name, n.role) + 8); }); // nothing is cut off on the left
    const width = Math.max(560, ...view.nodes.map((n) => n.x + half(n.name, n.role) + 20));
    svg.setAttribute("width", width);
    svg.style.cssText = `width: 100%; max-width: ${width}px; min-width: ${Math.round(width * 0.6)}px; height: auto`; // shrinks a little, then scrolls
    svg.replaceChildren();
    const ground = draw(svg, "rect", { width, fill: "transparent", "data-testid": "dag-ground" });
    let height = Math.max(160, ...view.nodes.map((n) => n.y + 50));
    for (const [kind, pairs] of [["edge", view.edges], ["hidden", view.hidden]]) {
      for (const [a, b] of pairs) {
        const words = kind === "edge" ? `${a} causes ${b}` : `a hidden cause of ${a} and ${b}`;
        const group = draw(svg, "g", { class: `edge ${kind}`, tabindex: 0, role: "button", "aria-label": words, "data-testid": `dag-${kind}-${a}-${b}` });
        group.key = [kind, a, b];
        draw(group, "title", {}, words);
        draw(group, "path", { class: "hit" });
        draw(group, "path", { class: "line" });
        draw(group, "polygon");
        if (kind === "hidden") draw(group, "polygon");
        height = Math.max(height, placeEdge(group) + 16);
        group.addEventListener("pointerdown", (event) => { event.stopPropagation(); group.focus(); choose(group.key); });
        group.addEventListener("focus", () => choose(group.key));
      }
    }
    ground.setAttribute("height", height);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    shapes = new Map();
    for (const n of view.nodes) shapes.set(n.name, drawNode(n));
    mark(null);
    const wanted = focusOn ?? focused;
    focusOn = null;
    if (wanted !== null) [...svg.querySelectorAll("[tabindex]")].find((e) => same(e.key, wanted))?.focus();
    advice.replaceChildren();
    view.advice.forEach((text) => make(advice, "li", {}, text));
    undo.disabled = !view.undo;
    redo.disabled = !view.redo;
    shown.textContent = model.get("code");
  }
  function drawNode(n) {
    const effects = view.edges.filter(([a]) => a === n.name).map(([, b]) => b);
    const words = `${n.name}, ${n.role}${effects.length ? `; causes ${effects.join(", ")}` : ""}`;
    const group = draw(svg, "g", { class: "node", tabindex: 0, role: "button", "aria-label": words, "data-testid": `dag-node-${n.name}`, transform: `translate(${n.x} ${n.y})` });
    group.key = n.name;
    draw(group, "title", {}, words);
    const w = half(n.name, n.role), paint = { class: "shape", fill: COLOR[n.role], "fill-opacity": 0.16, stroke: COLOR[n.role] };
    if (n.role === "mediator") draw(group, "polygon", { points: `${-w},0 ${-w + 12},${-H} ${w - 12},${-H} ${w},0 ${w - 12},${H} ${-w + 12},${H}`, ...paint });
    else draw(group, "rect", { x: -w, y: -H, width: 2 * w, height: 2 * H, rx: { outcome: H, covariate: 10, treatment: 1, other: 4 }[n.role], ...paint, ...(n.role === "other" ? { "stroke-dasharray": "4 3" } : {}) });
    draw(group, "text", { y: n.role === "other" ? 5 : -1, "font-size": 14, "font-weight": 600 }, short(n.name));
    if (n.role !== "other") draw(group, "text", { y: 14, "font-size": 10.5 }, n.role);
    group.addEventListener("pointerdown", (event) => grab(event, n, group));
    group.addEventListener("dblclick", (event) => { event.stopPropagation(); selected = n.name; field.value = n.name; field.dataset.rename = "1"; field.focus(); field.select(); });
    group.addEventListener("focus", () => { if (from === null) choose(n.name); else mark(n.name); });
    return group;
  }
  const point = (event) => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  };
  const under = (p) => view.nodes.find((n) => Math.abs(n.x - p.x) <= half(n.name, n.role) && Math.abs(n.y - p.y) <= H)?.name ?? null;
  function grab(event, n, group) {
    event.preventDefault();
    event.stopPropagation();
    const drawing = mode !== null || event.shiftKey, start = point(event);
    if (from === null) group.focus();
    if (drawing && from !== null && from !== n.name) return finish(n.name); // the cause was chosen before
    if (drawing) from = n.name;
    const line = drawing ? draw(svg, "path", { stroke: "#0072b2", "stroke-width": 2.4, fill: "none", "pointer-events": "none" }) : null;
    let moved = false;
    const go = (e) => {
      const p = point(e);
      moved = moved || Math.hypot(p.x - start.x, p.y - start.y) > 4;
      if (drawing) { line.setAttribute("d", `M${n.x} ${n.y} L${p.x} ${p.y}`); mark(under(p)); return; }
      if (!moved) return;
      n.x = Math.max(30, p.x);
      n.y = Math.max(30, p.y);
      group.setAttribute("transform", `translate(${n.x} ${n.y})`);
      svg.querySelectorAll(".edge").forEach((e2) => { if (e2.key.includes(n.name, 1)) placeEdge(e2); });
    };
    const end = (e) => {
      window.removeEventListener("pointermove", go);
      window.removeEventListener("pointerup", end);
      line?.remove();
      if (drawing) { const target = under(point(e)); if (target !== n.name) finish(target); else mark(null); } // a click only chooses the cause
      else if (moved) send({ do: "move", a: n.name, x: n.x, y: n.y });
    };
    window.addEventListener("pointermove", go);
    window.addEventListener("pointerup", end);
  }
  svg.addEventListener("dblclick", (event) => {
    if (under(point(event))) return;
    place = point(event);
    delete field.dataset.rename;
    field.value = "";
    field.focus();
    say("Type a name, then Enter.");
  });

  // -- keys --
  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const key = document.activeElement?.key ?? null;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); return send({ do: event.shiftKey ? "redo" : "undo" }); }
    if (event.target === field) return;
    if (event.key === "Escape") return setMode(null);
    if (key === null) return;
    const n = isNode(key) ? node(key) : null;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (n && steps[event.key]) {
      event.preventDefault();
      const [x, y] = steps[event.key];
      if (event.altKey) { focusOn = key; return send({ do: "move", a: key, x: Math.max(30, n.x + 15 * x), y: Math.max(30, n.y + 15 * y) }); }
      const ahead = view.nodes.filter((m) => m !== n && (m.x - n.x) * x + (m.y - n.y) * y > 1);
      const far = (m) => Math.hypot(m.x - n.x, m.y - n.y) + 2 * Math.abs((m.x - n.x) * y) + 2 * Math.abs((m.y - n.y) * x);
      ahead.sort((a, b) => far(a) - far(b));
      return ahead.length ? shapes.get(ahead[0].name).focus() : undefined;
    }
    const letter = event.key.toLowerCase();
    if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); selected = key; remove(); }
    else if (letter === "r" && n === null) reverse();
    else if (n && event.key === "F2") { selected = key; field.value = ""; rename(); field.dataset.rename = "1"; }
    else if (n && (letter === "e" || letter === "h")) { setMode(letter === "e" ? "edge" : "hidden"); from = key; say(`From ${key}: go to the other node and press Enter; Escape gives up.`); mark(null); }
    else if (n && (event.key === "Enter" || event.key === " ") && from !== null) { event.preventDefault(); finish(key); setMode(null); }
  });

  const renew = () => { view = model.get("view"); redraw(); };
  const complain = () => { error.textContent = model.get("error"); };
  const recode = () => { shown.textContent = model.get("code"); };
  const deaf = listen(model, { view: renew, error: complain, code: recode });
  redraw();
  complain();
  return () => {
    deaf();
    sheet.remove();
  };
}

export default { render };
