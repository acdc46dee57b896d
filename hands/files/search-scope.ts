import { relative } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import type { Location, Root } from "@serverless-harness/kit/paths/locate";
import { type BytePath, byteName } from "../fs/byte-names.ts";
import { type IgnoreRules, rulesForSearch } from "../ignore/ignore-rules.ts";

/** Where a search begins, seen from its root. */
export interface SearchScope {
  /** Path from the root to where the search begins, resolved through symlinks, with a slash at the end unless it is empty. */
  readonly base: BytePath;
  /** The rules of the .gitignore files above it. */
  readonly rules: IgnoreRules | undefined;
}

/**
 * The scope of a search in a directory. Only .gitignore files inside the root count, never those of a repository that
 * the daemon lies in.
 */
export function scopeOf(roots: readonly [Root, ...Root[]], location: Location): SearchScope {
  const root = roots.find(({ path }) => location.resolvedPath === path || location.resolvedPath.startsWith(`${path}/`)) ?? roots[0];
  let rules: IgnoreRules | undefined;
  let base = "";
  const opened: Handle[] = [];
  try {
    let directory = openDirectory(root.path);
    opened.push(directory);
    for (const name of relative(root.path, location.resolvedPath).split("/")) {
      if (name === "") continue;
      rules = rulesForSearch(directory, base, rules);
      base += `${byteName(name)}/`;
      directory = openDirectory(directory.child(name));
      opened.push(directory);
    }
  } finally {
    for (const handle of opened) handle[Symbol.dispose]();
  }
  return { base, rules };
}

/** How long a search may go on: until its time is up, or its caller has gone. */
export class SearchBudget {
  /** Aborted at the end of the budget. */
  readonly signal: AbortSignal;
  readonly #caller: AbortSignal;
  readonly #ms: number;

  constructor(ms: number, caller: AbortSignal) {
    this.#ms = ms;
    this.#caller = caller;
    this.signal = AbortSignal.any([caller, AbortSignal.timeout(ms)]);
  }

  /** DEADLINE_EXCEEDED `search_timeout` once the time is up, CANCELLED once the caller has gone. */
  check(): void {
    if (!this.signal.aborted) return;
    if (this.#caller.aborted) throw new HarnessError(Code.Canceled, "cancelled", "the caller has gone");
    throw new HarnessError(
      Code.DeadlineExceeded,
      "search_timeout",
      `the search took longer than ${this.#ms} ms: search a smaller directory`,
      {
        metadata: { limit_ms: String(this.#ms) },
      },
    );
  }
}
