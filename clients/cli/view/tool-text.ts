import type { ToolEnded, ToolStarted } from "@serverless-harness/proto/leaf";
import { firstLine } from "./format.ts";

/** The argument that says most, by its name in the built-in tools. */
const TELLING = ["command", "path", "pattern", "query"];
const LINE_CHARS = 100;

/** A tool call in one line: `bash  npm test`. */
export function toolCallText({ tool, arguments: args, resumed }: ToolStarted): string {
  const name = TELLING.find((key) => typeof args?.[key] === "string");
  const telling = name === undefined ? "" : `  ${firstLine(String(args?.[name]), LINE_CHARS)}`;
  return `${tool}${telling}${resumed ? "  (goes on)" : ""}`;
}

/** The first lines of what a tool brought, and how many more there are. */
export function toolResultLines({ text }: ToolEnded, count: number): string[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const shown = lines.slice(0, count).map((line) => firstLine(line, LINE_CHARS));
  return lines.length > count ? [...shown, `… ${lines.length - count} more lines`] : shown;
}
