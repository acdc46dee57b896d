import { invalidArgument } from "@serverless-harness/kit/errors";
import type { PlainRequest } from "@serverless-harness/kit/serve";

/** Longest wait that a client may ask for, in seconds: a day. */
const MAX_WAIT_S = 86_400;

/** How long a client wants to wait for an answer, as it asked in `Prefer` (RFC 7240). */
export interface WaitPreference {
  /** In milliseconds, 0 for not at all; `undefined`: until there is one. */
  readonly waitMs: number | undefined;
  /** What was granted, for the header `Preference-Applied`. */
  readonly applied: string;
}

/** Read `respond-async` and `wait=SECONDS`. Other preferences are passed over, as the RFC wants it. INVALID_ARGUMENT for a wait that is no time. */
export function waitPreference(request: PlainRequest): WaitPreference {
  const preferences = [request.headers["prefer"] ?? []]
    .flat()
    .flatMap((header) => header.split(","))
    .map((text) => text.trim());
  const waits = preferences.flatMap((text) => /^wait\s*=\s*(.*)$/i.exec(text)?.[1] ?? []);
  const [wait] = waits;
  if (wait !== undefined) {
    const seconds = /^"?(\d{1,6})"?$/.exec(wait)?.[1];
    if (seconds === undefined || Number(seconds) > MAX_WAIT_S || waits.length > 1) {
      const description = `must name one wait in whole seconds, at most ${MAX_WAIT_S}, as \`wait=30\``;
      throw invalidArgument([{ field: "Prefer", description }]);
    }
    return { waitMs: Number(seconds) * 1000, applied: `wait=${seconds}` };
  }
  if (preferences.some((text) => text.toLowerCase() === "respond-async")) return { waitMs: 0, applied: "respond-async" };
  return { waitMs: undefined, applied: "" };
}
