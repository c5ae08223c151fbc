// A release as a picture: a lane for each generation, and what became of connections.

import { drawn } from "./dom.js";

const [WIDTH, LEFT, RIGHT, LANE, BAR] = [900, 120, 20, 34, 24];

export function picture({ lanes, marks, ends_s: ends, is_open: open }, title) {
  const height = 30 + lanes.length * LANE + 24;
  const last = Math.max(ends, 0.001);
  const x = (at) => LEFT + (Math.min(at, last) / last) * (WIDTH - LEFT - RIGHT);
  const svg = drawn("svg", { class: "picture", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${title}. ${inWords(lanes)}` });
  for (const at of ticks(last)) {
    svg.append(drawn("line", { class: "axis", x1: x(at), x2: x(at), y1: 20, y2: height - 24 }));
    svg.append(drawn("text", { class: "quiet", x: x(at), y: height - 8, "text-anchor": "middle" }, `${seconds(at)} s`));
  }
  lanes.forEach((lane, index) => {
    const y = 24 + index * LANE;
    svg.append(drawn("text", { x: 0, y: y + 16 }, lane.label));
    lane.spans.forEach((span, number) => {
      const wide = Math.max(x(span.to_s) - x(span.from_s), 1.5);
      const isLast = open && number === lane.spans.length - 1;
      const words = `${span.kind} ${seconds(span.from_s)} to ${seconds(span.to_s)} s`;
      svg.append(drawn("rect", { class: `${span.kind}${isLast ? " last" : ""}`, x: x(span.from_s), y, width: wide, height: BAR, rx: 2 }, drawn("title", {}, words)));
      if (wide > span.kind.length * 7 + 8) svg.append(drawn("text", { class: "in", x: x(span.from_s) + 6, y: y + 16 }, span.kind));
    });
  });
  let free = -1;
  for (const mark of marks.filter((each) => MARKED.has(each.step))) {
    const at = x(mark.at_s);
    svg.append(drawn("line", { class: "mark", x1: at, x2: at, y1: 14, y2: height - 24 }));
    if (at > free) {
      const isFar = at > WIDTH - 90;
      svg.append(drawn("text", { class: "quiet", x: at, y: 11, "text-anchor": isFar ? "end" : "start" }, mark.step));
      free = at + mark.step.length * 7 + 8;
    }
  }
  return svg;
}

const MARKED = new Set(["switched", "proven", "failed", "reverted", "crashed", "superseded"]);

/** What became of connections: one bar, as wide as there were many. */
export function connections(counts) {
  const { seen = 0 } = counts;
  const svg = drawn("svg", { class: "picture", viewBox: `0 0 ${WIDTH} 40`, role: "img", "aria-label": counted(counts) });
  svg.append(drawn("text", { x: 0, y: 24 }, "connections"));
  let x = LEFT;
  for (const kind of ["finished", "unknown", "cut"]) {
    const count = counts[kind] ?? 0;
    if (!count) continue;
    const wide = (count / Math.max(seen, 1)) * (WIDTH - LEFT - RIGHT);
    const text = `${count} ${kind}`;
    svg.append(drawn("rect", { class: kind, x, y: 8, width: wide, height: BAR, rx: 2 }, drawn("title", {}, text)));
    if (wide > text.length * 7 + 8) svg.append(drawn("text", { class: "in", x: x + 6, y: 24 }, text));
    x += wide;
  }
  return svg;
}

export function counted(counts) {
  if (!counts) return "Connections in flight are not known: the kernel does not show them here.";
  const more = [["taken_over", "taken over"], ["unknown", "unknown"]].filter(([key]) => counts[key]).map(([key, word]) => `, ${counts[key]} ${word}`);
  return `Connections in flight: ${counts.seen}, finished ${counts.finished}, cut ${counts.cut}${more.join("")}.`;
}

function inWords(lanes) {
  return lanes.map((lane) => `${lane.label}: ${lane.spans.map((span) => `${span.kind} from ${seconds(span.from_s)} to ${seconds(span.to_s)} s`).join(", ") || "nothing"}`).join(". ");
}

function ticks(last) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400].find((each) => last / each <= 8) ?? last / 8;
  return Array.from({ length: Math.floor(last / step) + 1 }, (_, index) => index * step);
}

function seconds(at) {
  return at >= 100 ? at.toFixed(0) : at.toFixed(2);
}
