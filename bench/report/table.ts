import type { Report, Row } from "./report.ts";

const HEADERS = ["metric", "p50", "p95", "p99", "unit", "n"];

/** The report for a terminal: columns of figures, then the ratios. */
export function formatTable(report: Report): string {
  const table = [HEADERS, ...report.rows.map(cells)];
  const widths = HEADERS.map((_header, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  const lines = table.map((line) =>
    line
      .map((cell, column) => pad(cell, widths[column] ?? 0, column))
      .join("  ")
      .trimEnd(),
  );
  const names = Object.keys(report.ratios);
  const width = Math.max(0, ...names.map((name) => name.length));
  const ratios = names.map((name) => `${name.padEnd(width)}  ${report.ratios[name]}`);
  return [report.name, "", ...lines, ...(ratios.length > 0 ? ["", "ratio (ours / baseline)", ...ratios] : []), ""].join("\n");
}

/** The report as Markdown. `about`: a sentence on where and how it was measured. */
export function formatMarkdown(report: Report, about: string): string {
  const line = (list: readonly string[]): string => `| ${list.join(" | ")} |`;
  const ratios = Object.entries(report.ratios).map(([name, value]) => line([`\`${name}\``, String(value)]));
  return [
    `# ${report.name}`,
    "",
    about,
    "",
    line(HEADERS),
    line(["---", "---:", "---:", "---:", "---", "---:"]),
    ...report.rows.map((row) => line(cells(row).map((cell, column) => (column === 0 ? `\`${cell}\`` : cell)))),
    ...(ratios.length > 0 ? ["", line(["ours / baseline", "ratio of the medians"]), line(["---", "---:"]), ...ratios] : []),
    "",
    "95 (99) of 100 measurements are at least as good as p95 (p99). A ratio below 1 is better for times, above 1 for throughputs.",
    "",
  ].join("\n");
}

function cells(row: Row): string[] {
  return [row.metric, String(row.p50), String(row.p95), String(row.p99), row.unit, String(row.n)];
}

/** Texts to the left, numbers to the right. */
function pad(cell: string, width: number, column: number): string {
  return column === 0 || column === 4 ? cell.padEnd(width) : cell.padStart(width);
}
