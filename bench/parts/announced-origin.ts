import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks, in milliseconds. */
const POLL_MS = 20;

/** Where a dispatcher listens, by its log; `undefined` if it ended before it said so. */
export async function announcedOrigin(log: string, lives: () => boolean): Promise<string | undefined> {
  for (;;) {
    const origin = /"address":"([^"]+)"[^\n]*dispatcher listens/.exec(await readFile(log, "utf8"))?.[1];
    if (origin !== undefined || !lives()) return origin;
    await sleep(POLL_MS);
  }
}
