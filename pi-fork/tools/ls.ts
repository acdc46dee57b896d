import { type AgentHarnessTool, getOrThrow } from "@earendil-works/pi-agent-core";
import { FileKind } from "@serverless-harness/proto/hands";
import { Type } from "typebox";
import { listing, type ToolContext, textResult } from "./tool.ts";

const DEFAULT_LIMIT = 500;

const parameters = Type.Object({
  path: Type.Optional(Type.String({ description: "Directory to list (default: the working directory)" })),
  limit: Type.Optional(Type.Integer({ minimum: 1, description: `Maximum number of entries (default: ${DEFAULT_LIMIT})` })),
});

const MARKS: Readonly<Record<number, string>> = { [FileKind.DIRECTORY]: "/", [FileKind.SYMLINK]: "@" };

/** Lists a directory. */
export function createLsTool(): AgentHarnessTool<ToolContext, typeof parameters, undefined> {
  return {
    name: "ls",
    label: "ls",
    description: `List a directory, sorted by name. Directories end with "/", symbolic links with "@"; hidden files are shown. At most ${DEFAULT_LIMIT} entries or 50KB (whichever is hit first).`,
    parameters,
    async execute(_toolCallId, { path, limit = DEFAULT_LIMIT }, _onUpdate, { env }, _invocation, context) {
      const files = getOrThrow(await env.call(path ?? ".", context, (hands, absolute) => hands.list(absolute)));
      if (files.length === 0) return textResult("(empty directory)", undefined);
      const lines = files.slice(0, limit).map((file) => `${file.name}${MARKS[file.kind] ?? ""}`);
      const notes = files.length > limit ? [`${limit} of ${files.length} entries shown, use limit=${limit * 2} for more`] : [];
      return textResult(listing(lines, notes), undefined);
    },
  };
}
