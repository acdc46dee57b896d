import { type Command, Option } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { wholeNumber } from "../parse.ts";
import type { StackWishes } from "../stack/plan.ts";
import { repositories } from "../stack/repositories.ts";
import { NETWORKS, type Network, SANDBOXES, type SandboxKind } from "../stack/sandbox.ts";

/** Options of `leaf up`. */
export interface UpOptions extends CommonOptions, StackWishes {
  readonly sandbox?: SandboxKind;
  readonly network?: Network;
}

/** `leaf up`: start what is missing. */
export function addUp(program: Command): void {
  addCommand<UpOptions>(program, {
    name: "up",
    summary: "start the stack in the background: sandbox, dispatcher, and a stand-in for the model where no key is set",
    description:
      "Starts only what is not running, in the version that runs; says if the checkout has another one. Brains are not started: the dispatcher wakes one when there is work.",
    options: (command) =>
      command
        .option("--port <n>", "port of the dispatcher on 127.0.0.1, 0 for a free one (LEAF_PORT; default: 7433)", wholeNumber(0, 65535))
        .addOption(new Option("--sandbox <kind>", "bwrap: a jail; process: none (default: bwrap)").choices(SANDBOXES))
        .option("--restart", "suspend what is at work, stop what runs, and start the version that the checkout has")
        .option("--model <provider/model>", "the model, or stand-in (LEAF_MODEL; default: by the keys that are set)")
        .option("--redis <url>", "keep leaves and sessions in this Redis (LEAF_REDIS; default: a database in the state directory)")
        .option(
          "--repositories <dir>",
          "clone git repositories below this directory by their paths, read-only; may be repeated (default: none)",
          repositories,
        )
        .addOption(
          new Option("--network <reach>", "a jailed command reaches public addresses, all of the host's, none (default: public)").choices(
            NETWORKS,
          ),
        ),
    run: async (...given) => (await import("../actions/up.ts")).runUp(...given),
  });
}
