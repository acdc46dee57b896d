import { type Colors, clean, type Output, seenLength } from "../output.ts";

/** The first line of a text that is not blank, at most `max` characters of it. */
export function firstLine(text: string, max: number): string {
  const [line = ""] = clean(text).trim().split("\n", 1);
  return line.length > max ? `${line.slice(0, max - 1)}…` : line;
}

/** A length of time for a human: `0.4 s`, `1 m 12 s`, `3 h 5 m`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} m ${Math.floor((ms % 60_000) / 1000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago a time was; milliseconds since the Unix epoch. */
export function ago(timeMs: number, nowMs: number = Date.now()): string {
  return duration(Math.max(0, nowMs - timeMs));
}

/** An amount of memory: `73.4 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** A number of things: `1 model call`, `2 model calls`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** A time in ISO 8601; milliseconds since the Unix epoch. A number that is no time is shown as it is. */
export function isoTime(timeMs: number | bigint): string {
  const time = new Date(Number(timeMs));
  return Number.isNaN(time.getTime()) ? `${timeMs} ms` : time.toISOString();
}

/** Lines of a name and a value each, values below each other; those without a value are left out. */
export function fieldsText(fields: ReadonlyArray<readonly [string, string | undefined]>, color: Colors): string {
  const shown = fields.flatMap(([name, value]) => (value === undefined || value === "" ? [] : [{ name, value }]));
  const width = Math.max(...shown.map(({ name }) => name.length));
  return shown
    .map(({ name, value }) => `${color.dim(name.padEnd(width))}  ${value.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`)
    .join("\n");
}

/** Show a table whose columns are as wide as their widest cell; cells may be coloured. */
export function showTable(out: Output, heads: readonly string[], rows: ReadonlyArray<readonly string[]>): void {
  for (const line of tableLines(heads, rows, out.color)) out.line(line);
}

/** The lines of such a table. */
export function tableLines(heads: readonly string[], rows: ReadonlyArray<readonly string[]>, color: Colors): string[] {
  const all = [heads.map((head) => color.dim(head)), ...rows];
  const widths = heads.map((_head, column) => Math.max(...all.map((row) => seenLength(row[column] ?? ""))));
  const padded = (cell: string, column: number): string => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - seenLength(cell)));
  return all.map((row) => row.map(padded).join("  ").trimEnd());
}

/** Show a page of a list of `things`: their documents as `{[key]: [...]}`, or a table of `rows`, and how to get the next page. */
export function showPage(
  out: Output,
  things: { readonly key: string; readonly name: string; readonly documents: readonly unknown[] },
  nextPageToken: string,
  heads: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
): void {
  const { key, name, documents } = things;
  if (out.json) out.document({ [key]: documents, ...(nextPageToken === "" ? {} : { nextPageToken }) });
  else {
    if (rows.length === 0) out.note(`no ${name}`);
    showTable(out, heads, rows);
  }
  if (nextPageToken !== "") out.note(`more: --page ${nextPageToken}`);
}
