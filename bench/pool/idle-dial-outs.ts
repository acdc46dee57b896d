import { setTimeout as sleep } from "node:timers/promises";
import { parseAddress } from "@serverless-harness/kit/address";
import { createLogger } from "@serverless-harness/kit/log";
import { serve } from "@serverless-harness/kit/serve";
import { DialOut } from "@serverless-harness/kit/tunnel/dial-out";
import { watchMemory } from "../density/memory.ts";
import { Door, TOKEN } from "../door/door.ts";
import { scratch } from "../parts/process.ts";
import { quantileOf } from "../report/report.ts";

const POLL_MS = 20;

/** What one of `count` idle dial-outs takes of a dispatcher, in millions of bytes; the memory is looked at so many times before and after. */
export async function idleDialOut(count: number, looks: number): Promise<number> {
  await using door = await Door.open();
  const address = parseAddress(door.origin);
  if (address === undefined) throw new Error(`${door.origin} is no address`);
  const files = await scratch();
  const log = createLogger("bench", "silent");
  const hidden = await serve({ address: { kind: "unix", path: files.path("hidden.sock") }, log, routes: () => undefined });
  const resident = async (): Promise<number> => {
    const seen = await watchMemory(door.dispatcherPid, looks);
    return quantileOf(
      seen.map(({ rss }) => rss),
      0.5,
    );
  };
  const before = await resident();
  const dialOuts = Array.from(
    { length: count },
    (_, index) =>
      new DialOut({
        relay: { address, prefix: `/v1/sandboxes/idle-${index}/attach` },
        token: () => TOKEN,
        adopt: hidden.adopt,
        log,
      }),
  );
  for (const dialOut of dialOuts) dialOut.start();
  while (dialOuts.some(({ problem }) => problem !== undefined)) await sleep(POLL_MS);
  const after = await resident();
  await Promise.all(dialOuts.map((dialOut) => dialOut.close()));
  await hidden.close(0);
  await files.remove();
  return (after - before) / count;
}
