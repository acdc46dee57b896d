import type { Command } from "commander";
import { define } from "../command.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { userName } from "../user.ts";
import { showLeaf } from "../view/leaf-text.ts";

/** `leaf cancel`: ask for a leaf's end. */
export function add(command: Command): void {
  define(command, {
    description: "A running leaf ends within seconds: `leaf watch` shows it. Safe to repeat; a leaf that is over stays as it is.",
    run: async (context, [leafId = ""]) => {
      const { leaf } = await withDispatcher(context, ({ leaves }) => leaves.cancel({ leafId, requestedBy: userName() }));
      showLeaf(context.out, leaf);
    },
  });
}
