import { type AgentHarnessTool, getOrThrow } from "@earendil-works/pi-agent-core";
import { Type } from "typebox";
import { listing, type ToolContext, textResult } from "./tool.ts";

const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 10_000;

const parameters = Type.Object({
  pattern: Type.String({
    minLength: 1,
    description: "Glob pattern, e.g. '*.ts', '**/*.json' or 'src/**/*.spec.ts'; without a slash it matches the name alone",
  }),
  path: Type.Optional(Type.String({ description: "Directory to search in (default: the working directory)" })),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: MAX_LIMIT, description: `Maximum number of results (default: ${DEFAULT_LIMIT})` }),
  ),
});

/** Finds files by a glob. */
export function createFindTool(): AgentHarnessTool<ToolContext, typeof parameters, undefined> {
  return {
    name: "find",
    label: "find",
    description: `Search for files by glob pattern. Returns matching paths relative to the search directory. Respects .gitignore. At most ${DEFAULT_LIMIT} results or 50KB (whichever is hit first).`,
    parameters,
    async execute(_toolCallId, { pattern, path, limit = DEFAULT_LIMIT }, _onUpdate, { env }, _invocation, context) {
      const { paths, truncated } = getOrThrow(
        await env.call(path ?? ".", context, (hands, absolute) => hands.find(absolute, pattern, { limit })),
      );
      if (paths.length === 0) return textResult(`No files found matching ${pattern}`, undefined);
      const notes = truncated ? [`${limit} results limit reached, use a larger limit or a narrower pattern`] : [];
      return textResult(listing(paths, notes), undefined);
    },
  };
}
