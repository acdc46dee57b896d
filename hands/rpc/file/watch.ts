import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";

const MAX_EXCLUDES = 100;
const MIN_POLL_MS = 50;
const MAX_POLL_MS = 60_000;

export function watch(deps: FileDeps): FileRpc<"watch"> {
  return async function* (request, context) {
    const { workspace: name, path, recursive, includeIgnored, exclude, pollIntervalMs } = request;
    const valid = new FileValidation();
    valid.workspace("workspace", name);
    valid.path("path", path, true);
    valid.check("exclude", exclude.length <= MAX_EXCLUDES, `must be at most ${MAX_EXCLUDES}`);
    for (const [index, glob] of exclude.entries()) {
      valid.check(`exclude[${index}]`, glob !== "", "must not be empty");
      valid.glob(`exclude[${index}]`, glob);
    }
    const interval = pollIntervalMs === 0 || (pollIntervalMs >= MIN_POLL_MS && pollIntervalMs <= MAX_POLL_MS);
    valid.check("poll_interval_ms", interval, `must be 0, or ${MIN_POLL_MS} to ${MAX_POLL_MS}`);
    valid.done();
    const workspace = deps.workspaces.find(name);
    const order = { path, recursive, includeIgnored, exclude, pollIntervalMs };
    const { queue, close } = await aboutPath(path, () => deps.watches.open(workspace, order));
    // A reader that has gone while it did not read is told to nobody else.
    const onGone = (): void => void close();
    context.signal.addEventListener("abort", onGone);
    try {
      yield* queue.read(context.signal);
    } finally {
      context.signal.removeEventListener("abort", onGone);
      await close();
    }
  };
}
