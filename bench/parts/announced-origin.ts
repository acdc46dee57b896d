import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks, in milliseconds. */
const POLL_MS = 20;

/** Where a dispatcher listens, by its log, or another service that says so with `message`; `undefined` if it ended before. */
export async function announcedOrigin(log: string, lives: () => boolean, message = "dispatcher listens"): Promise<string | undefined> {
  const line = new RegExp(`"address":"([^"]+)"[^\\n]*${message}`);
  for (;;) {
    const origin = line.exec(await readFile(log, "utf8"))?.[1];
    if (origin !== undefined || !lives()) return origin;
    await sleep(POLL_MS);
  }
}
