import { QUANTITIES, type Quantity, type Sample } from "./sampler.ts";
import { grows, type Trend, trendOf } from "./slope.ts";

/** What a soak found, in the form that is written as JSON. */
export interface SoakReport {
  readonly name: string;
  readonly minutes: number;
  readonly warmUpMinutes: number;
  readonly leaves: number;
  readonly sessions: number;
  readonly rows: readonly SoakRow[];
  readonly samples: readonly Sample[];
}

/** A quantity after the warm-up. */
export interface SoakRow extends Trend {
  readonly quantity: Quantity;
  readonly grows: boolean;
}

/** What the trend of each quantity is, counted from the end of the warm-up. */
export function report(name: string, minutes: number, done: { leaves: number; sessions: number }, samples: readonly Sample[]): SoakReport {
  const warmUpMinutes = minutes / 3;
  const steady = samples.filter(({ atMs }) => atMs >= warmUpMinutes * 60_000);
  const rows = QUANTITIES.map((quantity) => {
    const trend = trendOf(steady.map(({ atMs, values }) => ({ atMs, value: values[quantity] })));
    return { quantity, ...trend, grows: grows(trend) };
  });
  return { name, minutes, warmUpMinutes, ...done, rows, samples };
}

/** One line that says whether it held. */
export function verdict({ name, minutes, leaves, sessions, rows }: SoakReport): string {
  const growing = rows.filter((row) => row.grows).map(({ quantity }) => quantity);
  const found = growing.length === 0 ? "flat" : `grows: ${growing.join(", ")}`;
  return `soak: store=${name} minutes=${minutes} leaves=${leaves} sessions=${sessions} ${found}`;
}

/** A line a quantity, for a terminal. */
export function formatRows({ rows }: SoakReport): string {
  const cells = rows.map(({ quantity, mean, perHour, error, grows: up }) => [
    quantity,
    figure(mean),
    `${perHour < 0 ? "" : "+"}${figure(perHour)}`,
    `± ${figure(error)}`,
    up ? "grows" : "flat",
  ]);
  const table = [["after the warm-up", "mean", "per hour", "std error", ""], ...cells];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  const pad = (cell: string, column: number): string =>
    column === 0 || column === 4 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return `${table.map((line) => line.map(pad).join("  ").trimEnd()).join("\n")}\n`;
}

/** The report as Markdown. `about`: how and on what machine it was measured. */
export function formatSoakMarkdown(found: SoakReport, about: string): string {
  const line = (list: readonly string[]): string => `| ${list.join(" | ")} |`;
  return [
    `# soak, ${found.name}`,
    "",
    about,
    "",
    `\`${verdict(found)}\``,
    "",
    line(["quantity", "mean", "change per hour", "standard error", ""]),
    line(["---", "---:", "---:", "---:", "---"]),
    ...found.rows.map(({ quantity, mean, perHour, error, grows: up }) =>
      line([`\`${quantity}\``, figure(mean), figure(perHour), figure(error), up ? "**grows**" : "flat"]),
    ),
    "",
    `The first ${figure(found.warmUpMinutes)} minutes are warm-up and do not count.`,
    "",
  ].join("\n");
}

function figure(value: number): string {
  return String(Number(value.toPrecision(3)));
}
