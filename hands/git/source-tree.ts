import { HarnessError } from "@serverless-harness/kit/errors";
import { shownName } from "../fs/byte-names.ts";
import { type TreeLimits, TreeMeter } from "../fs/tree-limits.ts";
import type { ObjectStore } from "./object-store.ts";
import { faultySource } from "./source-error.ts";
import { isSafePath } from "./tree-entries.ts";

const TIMEOUT_MS = 2 * 60_000;

/**
 * Count what a checkout of a commit would write, before anything is: a few objects can stand for any number of files.
 * RESOURCE_EXHAUSTED `tree_too_large` as soon as a limit is met; FAILED_PRECONDITION `source_faulty` for a name that
 * leads out of the directory, or into its repository.
 */
export async function requireSourceFits(store: ObjectStore, commit: string, limits: TreeLimits, signal: AbortSignal): Promise<void> {
  const listing = store.git.start(["ls-tree", "-r", "-l", "-z", "--full-tree", commit], {
    gitDir: store.gitDir,
    timeoutMs: TIMEOUT_MS,
    signal,
  });
  listing.stdin.end();
  const meter = new TreeMeter(limits, "choose another source");
  try {
    for await (const record of records(listing.stdout)) {
      const tab = record.indexOf("\t");
      const path = record.slice(tab + 1);
      const shown = shownName(path);
      if (!isSafePath(path)) throw faultySource(`it holds ${JSON.stringify(shown)}, which no tree may hold`);
      meter.enter(shown, path.split("/").length - 1);
      const size = Number(record.slice(record.lastIndexOf(" ", tab) + 1, tab));
      // A submodule has no size.
      if (!Number.isNaN(size)) meter.add(shown, size);
    }
    await listing.ended;
  } catch (error) {
    // The cut stream says less than how git ended.
    if (!(error instanceof HarnessError)) await listing.ended;
    throw error;
  } finally {
    listing.kill();
  }
}

/** The records of a listing, each byte as a character. */
async function* records(stdout: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stdout) {
    const parts = (rest + chunk.toString("latin1")).split("\0");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
