// Elements with text.  Rule: what comes from an app is text (textContent), never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes, then children that are nodes or text. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.map((each) => (each instanceof Node ? each : String(each))));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Set a text only where it changed: nothing is said twice by a screen reader. */
export function setText(of, text) {
  if (of.textContent !== text) of.textContent = text;
}

/** Set the cells of a row, but those that are null; what stays the same is not touched. */
export function setCells(row, cells) {
  cells.forEach((each, index) => {
    if (!each) return;
    const { text, kind = "" } = each;
    let cell = row.cells[index];
    if (!cell) cell = row.insertCell();
    setText(cell, text);
    if (cell.className !== kind) cell.className = kind;
  });
}

/** A table with a caption and heads of columns. */
export function table(caption, heads, rows) {
  const body = element("tbody");
  for (const cells of rows) {
    const row = body.insertRow();
    setCells(row, cells.map((text) => ({ text: shown(text) })));
  }
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  return element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption },
    element("table", {}, element("caption", {}, caption), element("thead", {}, head), body));
}

export function shown(value) {
  return value === null || value === undefined || value === "" ? "-" : String(value);
}
