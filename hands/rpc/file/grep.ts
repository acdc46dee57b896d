import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { grepLines } from "../../files/grep.ts";
import { SearchBudget } from "../../files/search-scope.ts";
import { FileValidation } from "./checks.ts";
import { type FileDeps, type FileRpc, readableRoots } from "./deps.ts";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;
const MAX_CONTEXT_LINES = 50;
const MAX_PATTERN_BYTES = 10_000;

export function grep(deps: FileDeps): FileRpc<"grep"> {
  return (request, context) => {
    const { workspace, path, pattern, literal, ignoreCase, glob, contextLines, limit } = request;
    const valid = new FileValidation();
    valid.workspace("workspace", workspace);
    valid.path("path", path, true);
    valid.check("pattern", pattern !== "", "must not be empty");
    valid.check("pattern", !/[\0\n]/.test(pattern), "must not hold a NUL character or a newline: lines are matched one by one");
    valid.maxBytes("pattern", pattern, MAX_PATTERN_BYTES);
    valid.glob("glob", glob);
    valid.range("context_lines", contextLines, 0, MAX_CONTEXT_LINES);
    valid.range("limit", limit, 0, MAX_LIMIT);
    valid.done();
    const budget = new SearchBudget(deps.limits.searchMs, context.signal);
    const order = { path, pattern, literal, ignoreCase, glob, contextLines, limit: limit || DEFAULT_LIMIT };
    return aboutPath(path, async () => {
      const { lines, truncated, binary } = await grepLines(readableRoots(deps, workspace), order, budget);
      return { lines, truncated, binary };
    });
  };
}
