import { type Colors, seenLength } from "../paint.ts";

/** Lines of a table whose columns are as wide as their widest cell; cells may be coloured. */
export function table(heads: readonly string[], rows: ReadonlyArray<readonly string[]>, color: Colors): string[] {
  const all = [heads.map((head) => color.dim(head)), ...rows];
  const widths = heads.map((_head, column) => Math.max(...all.map((row) => width(row[column]))));
  return all.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function pad(cell: string, size: number): string {
  return cell + " ".repeat(Math.max(0, size - width(cell)));
}

function width(cell: string | undefined): number {
  return seenLength(cell ?? "");
}
