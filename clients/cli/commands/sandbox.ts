import { create } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { addCommand, defineGroup } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { untilEmpty, watchSandboxes } from "../dispatcher/sandboxes.ts";
import { wholeNumber } from "../options/values.ts";
import { counted, showTable } from "../view/format.ts";
import { poolJson, SANDBOX_HEADS, sandboxJson, sandboxRow } from "../view/sandbox-text.ts";
import { JOIN } from "./sandbox-join.ts";

interface ListOptions extends CommonOptions {
  readonly watch?: boolean;
}

interface DrainOptions extends CommonOptions {
  readonly wait?: boolean;
  readonly timeout: number;
}

interface RemoveOptions extends CommonOptions {
  readonly force?: boolean;
}

/** `leaf sandbox`: the pool of sandboxes that sessions are placed in. */
export function add(group: Command): void {
  defineGroup(group, "Each session is placed in a sandbox of the pool, and stays there while that is there.");
  addCommand<ListOptions>(group, "list", "list the sandboxes of the pool", {
    description:
      "States: there; full, as many sessions work in it as it takes; draining, it takes no more; drained, nothing is in it; away, nothing was heard of it. " +
      "WORKING counts sessions with a brain or a running command there, PLACED also those that sleep.",
    options: (command) => command.option("--watch", "show it live, until Ctrl-C; with --json each change as a line"),
    run: listSandboxes,
  });
  addCommand<DrainOptions>(group, "drain <name>", "let a sandbox take no more sessions, and move those that sleep in it", {
    description: "What works there goes on to its end.",
    options: (command) =>
      command
        .option("--wait", "until no session is in it; Ctrl-C ends only the wait")
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: drain,
  });
  addCommand(group, "undrain <name>", "let a sandbox take sessions again", {
    run: async (context, [name = ""]) => {
      const { sandbox } = await withDispatcher(context, ({ sandboxes }) => sandboxes.undrainSandbox({ name }));
      context.out.answer({ sandbox: sandboxJson(present(sandbox)) }, `${name} takes sessions again`);
    },
  });
  addCommand<RemoveOptions>(group, "remove <name>", "forget a sandbox that is away or drained", {
    description: "Its sessions go on elsewhere, from their last snapshots. One that is still there is found again, and comes back.",
    options: (command) => command.option("--force", "also if it is there and sessions are in it"),
    run: async (context, [name = ""], { force = false }) => {
      const { sessions } = await withDispatcher(context, ({ sandboxes }) => sandboxes.removeSandbox({ name, force }));
      const rest =
        sessions === 0 ? "" : `; ${counted(sessions, "session")} that ${sessions === 1 ? "was" : "were"} there can go on elsewhere`;
      context.out.answer({ removed: name, sessions }, `removed ${name}${rest}`);
    },
  });
  addCommand(group, "join <url>", "make this machine a sandbox of the dispatcher at a URL", JOIN);
}

async function listSandboxes(context: Context, _args: readonly string[], { watch = false }: ListOptions): Promise<void> {
  const { out } = context;
  if (watch) return await watchSandboxes(context);
  const pool = await withDispatcher(context, (dispatcher) => dispatcher.sandboxes.listSandboxes({}));
  if (out.json) return out.document(poolJson(pool));
  const { sandboxes, nowMs } = pool;
  if (sandboxes.length === 0) return out.note("no sandboxes");
  showTable(
    out,
    SANDBOX_HEADS,
    sandboxes.map((sandbox) => sandboxRow(sandbox, nowMs, out.color)),
  );
}

async function drain(context: Context, [name = ""]: readonly string[], { wait = false, timeout }: DrainOptions): Promise<void> {
  const { sandbox } = await withDispatcher(context, ({ sandboxes }) => sandboxes.drainSandbox({ name }));
  const drained = wait ? await untilEmpty(context, name, timeout) : present(sandbox);
  const { working, placed } = drained;
  const isEmpty = working === 0 && placed === 0;
  const text = isEmpty ? `${name} is drained` : `${name} drains: ${counted(placed, "session")} in it, ${working} at work`;
  context.out.answer({ sandbox: sandboxJson(drained) }, text);
}

/** The sandbox that an answer has to hold; an empty one if it holds none. */
function present(sandbox: Sandbox | undefined): Sandbox {
  return sandbox ?? create(SandboxSchema);
}
