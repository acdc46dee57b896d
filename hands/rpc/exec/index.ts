import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import { attach } from "./attach.ts";
import { channel } from "./channel.ts";
import type { ExecDeps } from "./deps.ts";
import { get } from "./get.ts";
import { list } from "./list.ts";
import { notifyEnd } from "./notify-end.ts";
import { run } from "./run.ts";
import { signal } from "./signal.ts";

export type { ExecDeps } from "./deps.ts";

/** The RPCs of `harness.hands.v1.ExecService`. */
export function execService(deps: ExecDeps): ServiceImpl<typeof ExecService> {
  return {
    channel: channel(deps),
    run: run(deps),
    attach: attach(deps),
    signal: signal(deps),
    notifyEnd: notifyEnd(deps),
    get: get(deps),
    list: list(deps),
  };
}
