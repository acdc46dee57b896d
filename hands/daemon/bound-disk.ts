import { join } from "node:path";
import type { Logger } from "@serverless-harness/kit/log";
import { EndCause } from "@serverless-harness/proto/hands";
import type { HandsConfig } from "../config.ts";
import type { Execs } from "../exec/execs.ts";
import { DiskMeter } from "../process/usage/disk-meter.ts";
import type { Terminals } from "../terminals/terminals.ts";
import type { Launchers } from "./launcher.ts";

/** What is bounded, and what is ended where it takes too much. */
export interface Bounded {
  readonly config: Pick<HandsConfig, "diskBytes" | "workspaces" | "home" | "temporary">;
  readonly launchers: Pick<Launchers, "roots" | "kill">;
  readonly execs: Pick<Execs, "stopAll">;
  readonly terminals: Pick<Terminals, "closeAll">;
  readonly log: Logger;
}

/** Bound what workspaces with a jail have on disk: their execs end by that name. If none runs, it is terminals or the background that end. */
export function boundDisk({ config, launchers, execs, terminals, log }: Bounded): DiskMeter | undefined {
  const { diskBytes: limitBytes, workspaces, home, temporary } = config;
  if (limitBytes === 0) return undefined;
  const end = async (name: string, usedBytes: number): Promise<void> => {
    log.warn({ workspace: name, usedBytes, limitBytes }, "a workspace has more than HANDS_DISK_BYTES: what runs in it is ended");
    const message = `its workspace has ${usedBytes} bytes on disk and may have ${limitBytes} (HANDS_DISK_BYTES): remove what is not needed`;
    if ((await execs.stopAll(name, { cause: EndCause.LIMIT_REACHED, message })) > 0) return;
    await terminals.closeAll(name);
    await launchers.kill({ name });
  };
  return new DiskMeter({
    limitBytes,
    live: () => launchers.roots().keys(),
    directories: (name) => [workspaces, home, temporary].map((directory) => join(directory, name)),
    onExceeded: (name, usedBytes) => {
      end(name, usedBytes).catch((error: unknown) => log.error({ workspace: name, err: error }, "what fills a disk could not be ended"));
    },
    log,
  });
}
