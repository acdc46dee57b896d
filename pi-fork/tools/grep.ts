import { type AgentHarnessTool, getOrThrow } from "@earendil-works/pi-agent-core";
import type { GrepLine } from "@serverless-harness/proto/hands";
import { Type } from "typebox";
import { listing, type ToolContext, textResult } from "./tool.ts";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;
const MAX_CONTEXT = 50;

const parameters = Type.Object({
  pattern: Type.String({ minLength: 1, description: "Search pattern (regular expression or literal string)" }),
  path: Type.Optional(Type.String({ description: "Directory or file to search (default: the working directory)" })),
  glob: Type.Optional(
    Type.String({ description: "Only files that match this glob pattern, e.g. '*.ts' or '**/*.spec.ts'; with a ! before it, only others" }),
  ),
  ignoreCase: Type.Optional(Type.Boolean({ description: "Case-insensitive search (default: false)" })),
  literal: Type.Optional(Type.Boolean({ description: "Treat the pattern as a literal string (default: false)" })),
  context: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MAX_CONTEXT, description: "Lines to show before and after each match (default: 0)" }),
  ),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: MAX_LIMIT, description: `Maximum number of matches (default: ${DEFAULT_LIMIT})` }),
  ),
});

/** Searches file contents. */
export function createGrepTool(): AgentHarnessTool<ToolContext, typeof parameters, undefined> {
  return {
    name: "grep",
    label: "grep",
    description: `Search file contents for a pattern. Returns matching lines as path:line: text. Respects .gitignore. At most ${DEFAULT_LIMIT} matches or 50KB (whichever is hit first); long lines are cut to 500 characters.`,
    parameters,
    async execute(_toolCallId, params, _onUpdate, { env }, _invocation, context) {
      const limit = params.limit ?? DEFAULT_LIMIT;
      const { lines, truncated, binary } = getOrThrow(
        await env.call(params.path ?? ".", context, (hands, absolute) =>
          hands.grep(absolute, params.pattern, {
            limit,
            literal: params.literal ?? false,
            ignoreCase: params.ignoreCase ?? false,
            contextLines: params.context ?? 0,
            ...(params.glob === undefined ? {} : { glob: params.glob }),
          }),
        ),
      );
      if (lines.length + binary.length === 0) return textResult("No matches found", undefined);
      const binaries = binary.map((file) => `${file}: binary file matches`);
      const notes = truncated ? [`${limit} matches limit reached, use a larger limit or a narrower pattern`] : [];
      return textResult(listing([...separated(lines), ...binaries], notes), undefined);
    },
  };
}

/** As grep writes them: `:` after a match's number, `-` after that of a context line, `--` between places that are apart. */
function separated(lines: readonly GrepLine[]): string[] {
  const withContext = lines.some((line) => !line.match);
  return lines.flatMap((line, index) => {
    const mark = line.match ? ":" : "-";
    const text = `${line.path}${mark}${line.line}${mark} ${line.text}`;
    const before = lines[index - 1];
    const apart = before !== undefined && (before.path !== line.path || before.line + 1n !== line.line);
    return withContext && apart ? ["--", text] : [text];
  });
}
