import type { SoakReport, SoakRow } from "./report.ts";
import type { Sample } from "./sampler.ts";

const WIDTH = 720;
const HEIGHT = 90;
const GAP = 34;
const STYLE = [
  "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#424a53}.axis{font-size:10px;fill:#6e7781}",
  ".frame{fill:none;stroke:#d0d7de}.warm{fill:#d0d7de;opacity:.35}.line{fill:none;stroke:#0969da;stroke-width:1.5}",
  ".up{stroke:#cf222e}@media(prefers-color-scheme:dark){text{fill:#c9d1d9}.axis{fill:#8b949e}.frame{stroke:#30363d}",
  ".warm{fill:#30363d}.line{stroke:#79c0ff}.up{stroke:#ff7b72}}",
].join("");

/** A plot of each quantity over time, one below the other, from zero to its largest value; the warm-up is shaded, what grows is red. */
export function formatChart(found: SoakReport): string {
  const height = found.rows.length * (HEIGHT + GAP) + 10;
  const charts = found.rows.map((row, index) => chart(row, found, index * (HEIGHT + GAP)));
  const size = `viewBox="-10 -6 ${WIDTH + 20} ${height + 6}" width="${WIDTH + 20}" height="${height + 6}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="soak, ${found.name}">\n<style>${STYLE}</style>\n${charts.join("\n")}\n</svg>\n`;
}

function chart(row: SoakRow, { samples, warmUpMinutes, minutes }: SoakReport, top: number): string {
  const values = samples.map(({ values: all }) => all[row.quantity]);
  const most = Math.max(...values, Number.MIN_VALUE);
  const x = (atMs: number): number => round(Math.min(1, atMs / (minutes * 60_000)) * WIDTH);
  const y = (value: number): number => round(top + 16 + HEIGHT - (value / most) * HEIGHT);
  const points = samples.map((sample: Sample) => `${x(sample.atMs)},${y(sample.values[row.quantity])}`).join(" ");
  const title = `${row.quantity}: mean ${Number(row.mean.toPrecision(3))}, at most ${Number(most.toPrecision(3))}`;
  return [
    `<text x="0" y="${top + 10}">${title}</text>`,
    `<rect class="warm" x="0" y="${top + 16}" width="${x(warmUpMinutes * 60_000)}" height="${HEIGHT}"/>`,
    `<rect class="frame" x="0" y="${top + 16}" width="${WIDTH}" height="${HEIGHT}"/>`,
    `<polyline class="line${row.grows ? " up" : ""}" points="${points}"/>`,
    `<text class="axis" x="${WIDTH}" y="${top + 10}" text-anchor="end">${minutes} min</text>`,
  ].join("\n");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
