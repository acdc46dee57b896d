import { parseObject } from "../json.ts";
import { lastLines } from "./log-file.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import { isWatched, readRecord } from "./record.ts";
import { readWatch, WATCHER } from "./watch.ts";

/** How many lines at a log's end are searched for one that is the service's own. */
const SEARCHED_LINES = 100;

/** The life of a service of the stack. */
export interface LifeStatus {
  /** How often it died and was started again. */
  readonly restarts: number;
  /** How it ended last; empty if it never did. */
  readonly lastEnd: string;
  /** Milliseconds since the Unix epoch; 0 if it never ended. */
  readonly lastEndMs: number;
  /** It is started again if it dies. */
  readonly watched: boolean;
  /** It ended as it was asked to, by `leaf down` or by a signal. */
  readonly ended: boolean;
  /** It died too often in a row and is not started again. */
  readonly gaveUp: boolean;
  /** The last line of its own in its log, if it gave up. */
  readonly lastLine?: string;
}

/** The life of a service; `undefined` if it was never started. */
export function readLife(paths: StackPaths, name: ServiceName): LifeStatus | undefined {
  const record = readRecord(paths, name);
  const watch = readWatch(paths, name);
  if (record === undefined || watch === undefined) return undefined;
  const { restarts, lastEnd, lastEndMs, state } = watch;
  const gaveUp = state === "gave-up";
  const lastLine = gaveUp ? ownLastLine(paths, name) : undefined;
  return {
    restarts,
    lastEnd,
    lastEndMs,
    watched: isWatched(record),
    ended: state === "ended",
    gaveUp,
    ...(lastLine === undefined ? {} : { lastLine }),
  };
}

/** What a service, not its watcher, wrote last: of a line of JSON its message. */
function ownLastLine(paths: StackPaths, name: ServiceName): string | undefined {
  const lines = lastLines(paths.log(name), SEARCHED_LINES).map((line) => parseObject(line) ?? { msg: line });
  const own = lines.findLast((fields) => fields["name"] !== WATCHER);
  return own === undefined ? undefined : String(own["msg"] ?? "");
}
