import type { Report, Row } from "./report.ts";

const WIDTH = 720;
const LABEL_WIDTH = 210;
const RIGHT = 90;
const LINE_HEIGHT = 24;
const GROUP_GAP = 46;
const UNITS: Readonly<Record<string, string>> = { ms: "ms", s: "s", per_s: "/s", mb_s: "MB/s", mb: "MB" };

/** Colours that are readable on white; the second set takes over where the reader prefers dark. */
const STYLE = [
  "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#424a53}",
  ".title{font-weight:600;font-size:14px}.axis{font-size:10px;fill:#6e7781}",
  ".grid{stroke:#d0d7de;stroke-width:1}.range{stroke:#218bff;stroke-width:2}.tick{stroke:#218bff;stroke-width:2}.dot{fill:#0969da}",
  "@media(prefers-color-scheme:dark){text{fill:#c9d1d9}.axis{fill:#8b949e}.grid{stroke:#30363d}",
  ".range,.tick{stroke:#388bfd}.dot{fill:#79c0ff}}",
].join("");

/** A plot of the rows, one block per unit on a logarithmic axis: a dot at p50, a line to p99 with ticks at p95 and p99. */
export function formatPlot(report: Report): string {
  const units = [...new Set(report.rows.map((row) => row.unit))];
  const parts: string[] = [text(0, 16, "title", `${report.name}: p50 (dot), p95, p99 (ticks)`)];
  let y = 30;
  for (const unit of units) {
    const rows = report.rows.filter((row) => row.unit === unit);
    parts.push(...block(rows, y));
    y += rows.length * LINE_HEIGHT + GROUP_GAP;
  }
  const size = `viewBox="-10 -6 ${WIDTH + 20} ${y + 6}" width="${WIDTH + 20}" height="${y + 6}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escapeXml(report.name)}">\n<style>${STYLE}</style>\n${parts.join("\n")}\n</svg>\n`;
}

function block(rows: readonly Row[], top: number): string[] {
  const values = rows.flatMap((row) => [row.p50, row.p95, row.p99]).filter((value) => value > 0);
  // Zero has no place on a logarithmic axis: it is drawn at its left end.
  const from = values.length === 0 ? 0 : Math.floor(Math.log10(Math.min(...values)));
  const to = values.length === 0 ? 1 : Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))));
  const x = (value: number): number => {
    const part = (Math.log10(Math.max(value, 10 ** from)) - from) / (to - from);
    return Math.round((LABEL_WIDTH + part * (WIDTH - LABEL_WIDTH - RIGHT)) * 10) / 10;
  };
  const bottom = top + rows.length * LINE_HEIGHT + 8;
  const decades = Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
  return [
    ...decades.flatMap((decade) => [
      line("grid", x(decade), top, x(decade), bottom),
      text(x(decade), bottom + 12, "axis", String(Number(decade.toPrecision(1))), "middle"),
    ]),
    ...rows.flatMap((row, index) => mark(row, x, top + index * LINE_HEIGHT + LINE_HEIGHT / 2 + 4)),
  ];
}

function mark(row: Row, x: (value: number) => number, y: number): string[] {
  const ticks = [row.p95, row.p99].map((value) => line("tick", x(value), y - 5, x(value), y + 5));
  return [
    text(LABEL_WIDTH - 12, y + 4, "", row.metric, "end"),
    line("range", x(row.p50), y, x(row.p99), y),
    ...(row.n > 1 ? ticks : []),
    `<circle class="dot" cx="${x(row.p50)}" cy="${y}" r="5"/>`,
    text(WIDTH - RIGHT + 12, y + 4, "", `${row.p50} ${UNITS[row.unit] ?? row.unit}`),
  ];
}

function line(className: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${className}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
}

function text(x: number, y: number, className: string, content: string, anchor = "start"): string {
  return `<text class="${className}" x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

function escapeXml(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
