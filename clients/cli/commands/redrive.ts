import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { showLeaf } from "../view/leaf-text.ts";

interface RedriveOptions extends CommonOptions {
  readonly fromStart?: boolean;
}

/** `leaf redrive`: queue a failed leaf again. */
export function add(command: Command): void {
  define<RedriveOptions>(command, {
    options: (given) => given.option("--from-start", "from the start, instead of from where it stopped"),
    run: async (context, [leafId = ""], { fromStart = false }) => {
      const { leaf } = await withDispatcher(context, ({ leaves }) => leaves.redrive({ leafId, fromStart }));
      showLeaf(context.out, leaf);
    },
  });
}
