import { writeFile } from "node:fs/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService } from "@serverless-harness/proto/leaf";
import { announcedOrigin } from "./announced-origin.ts";
import { type ModelProcess, startModelProcess } from "./model.ts";
import { scratch, startProgram, stopProgram } from "./process.ts";
import { type Sandbox, startSandbox } from "./sandbox.ts";

const TOKEN = "bench-token";

/** All of it, as `leaf up` starts it: the stand-in model, the sandbox, and a dispatcher whose local waker starts the bundled brain. */
export interface Stack {
  /** The front door. */
  readonly leaves: Client<typeof LeafService>;
  readonly model: ModelProcess;
  /** Brains are its children. */
  readonly dispatcherPid: number;
  readonly storeUrl: string;
  readonly sandbox: Sandbox;
  /** Its database, unless the store is a Redis, and its logs. */
  readonly directory: string;
  /** End every process and remove every file. Throws what a process said that did not end cleanly. */
  close(): Promise<void>;
}

/** Start a stack of its own. `settings`: of its dispatcher and its brains. `redis`: the URL of a store to use instead of a database of its own. */
export async function startStack(jail: boolean, settings: Readonly<Record<string, string>> = {}, redis?: string): Promise<Stack> {
  const files = await scratch();
  const model = await startModelProcess();
  const sandbox = await startSandbox(jail);
  await writeFile(files.path("token"), TOKEN, { mode: 0o600 });
  const [log, storeUrl] = [files.path("dispatcher.log"), redis ?? `sqlite:${files.path("leaf.db")}`];
  const dispatcher = startProgram(bundleOf("dispatcher"), log, {
    LEAF_STORE: storeUrl,
    DISPATCHER_LISTEN: "http://127.0.0.1:0",
    DISPATCHER_TOKEN_FILE: files.path("token"),
    DISPATCHER_BRAIN_LOG: files.path("brain.log"),
    HANDS_URL: sandbox.address,
    ANTHROPIC_BASE_URL: model.url,
    ANTHROPIC_AUTH_TOKEN: "bench",
    ...COMPILED,
    ...settings,
  });
  const origin = await announcedOrigin(log, () => dispatcher.exitCode === null);
  const address = origin === undefined ? undefined : parseAddress(origin);
  if (address === undefined || dispatcher.pid === undefined) {
    await stopProgram(dispatcher, log);
    throw new Error("the dispatcher told no address");
  }
  const transport = createTransport({ address, token: TOKEN });
  return {
    leaves: createClient(LeafService, transport),
    model,
    dispatcherPid: dispatcher.pid,
    storeUrl,
    sandbox,
    directory: files.path(),
    close: async () => {
      transport.close();
      await stopProgram(dispatcher, log);
      await sandbox.close();
      await model.stop();
      await files.remove();
    },
  };
}
