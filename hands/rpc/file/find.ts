import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { findPaths } from "../../files/find.ts";
import { SearchBudget } from "../../files/search-scope.ts";
import { FileValidation } from "./checks.ts";
import { type FileDeps, type FileRpc, readableRoots } from "./deps.ts";

const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 10_000;

export function find(deps: FileDeps): FileRpc<"find"> {
  return ({ workspace, path, glob, limit, includeIgnored }, context) => {
    const valid = new FileValidation();
    valid.workspace("workspace", workspace);
    valid.path("path", path, true);
    valid.check("glob", glob !== "", "must not be empty: `*` matches every name");
    valid.glob("glob", glob);
    valid.range("limit", limit, 0, MAX_LIMIT);
    valid.done();
    const budget = new SearchBudget(deps.limits.searchMs, context.signal);
    const order = { path, glob, limit: limit || DEFAULT_LIMIT, includeIgnored };
    return aboutPath(path, () => findPaths(readableRoots(deps, workspace), order, budget));
  };
}
