import { DEFAULT_MAX_BYTES, formatSize, truncateHead } from "@earendil-works/pi-agent-core";
import type { ScreenResponse, Terminal } from "@serverless-harness/proto/hands";

/** What a terminal's window shows, for the model: a line about the terminal, then the window without the empty lines at its end. */
export function screenText(screen: ScreenResponse, notes: readonly string[]): string {
  const { lines, scrollbackLines, terminal, cursorRow, cursorColumn } = screen;
  const last = lines.findLastIndex((line) => line !== "");
  const shown = lines.slice(0, Math.max(last, scrollbackLines + cursorRow) + 1).join("\n");
  const { content, truncated } = truncateHead(shown, { maxLines: Number.MAX_SAFE_INTEGER });
  const about = [
    ...(terminal === undefined ? [] : [describeTerminal(terminal)]),
    `cursor at row ${cursorRow + 1}, column ${cursorColumn + 1}`,
    ...(scrollbackLines > 0 ? [`${scrollbackLines} lines of scrollback above the window`] : []),
    ...(truncated ? [`cut at ${formatSize(DEFAULT_MAX_BYTES)}`] : []),
    ...notes,
  ];
  return `[${about.join("; ")}]\n${content}`;
}

/** A terminal in a few words. */
export function describeTerminal(terminal: Terminal): string {
  const { terminalId, columns, rows, ended } = terminal;
  if (ended === undefined) return `terminal ${terminalId}, ${columns}x${rows}, running`;
  const how = ended.signal === "" ? `exit code ${ended.exitCode}` : `signal ${ended.signal}`;
  return `terminal ${terminalId}, ${columns}x${rows}, its program ended with ${how}`;
}
