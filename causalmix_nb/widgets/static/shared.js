// What the page of every widget begins with (base.py puts it before the page): elements whose text goes in as text, style, changes heard.

const SVG = "http://www.w3.org/2000/svg";

function make(parent, tag, props = {}, text = "") {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.textContent = text;
  parent.appendChild(node);
  return node;
}
function draw(parent, tag, props = {}, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}
function dress(model, style) { // adds the style, and hides the snapshot while the widget is alive; remove() takes both back
  const sheet = document.createElement("style");
  sheet.textContent = `${style} .causalmix-snapshot-${model.get("live_id")} { display: none; }`;
  document.head.appendChild(sheet);
  return sheet;
}
function listen(model, acts) { // acts: trait -> what is done when it changes; returns what stops that
  const heard = Object.entries(acts);
  heard.forEach(([name, act]) => model.on(`change:${name}`, act));
  return () => heard.forEach(([name, act]) => model.off(`change:${name}`, act));
}

