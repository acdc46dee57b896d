import type { ServiceImpl } from "@connectrpc/connect";
import type { TerminalService } from "@serverless-harness/proto/hands";
import { attach } from "./attach.ts";
import { close } from "./close.ts";
import type { TerminalDeps } from "./deps.ts";
import { list } from "./list.ts";
import { open } from "./open.ts";
import { resize } from "./resize.ts";
import { screen } from "./screen.ts";
import { write } from "./write.ts";

export type { TerminalDeps } from "./deps.ts";

/** The RPCs of `harness.hands.v1.TerminalService`. */
export function terminalService(deps: TerminalDeps): ServiceImpl<typeof TerminalService> {
  return {
    open: open(deps),
    attach: attach(deps),
    write: write(deps),
    resize: resize(deps),
    screen: screen(deps),
    list: list(deps),
    close: close(deps),
  };
}
