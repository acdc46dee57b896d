import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import type { Address } from "@serverless-harness/kit/address";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { createLogger } from "@serverless-harness/kit/log";
import { startServer, temporaryDirectory } from "@serverless-harness/kit/testing";
import { FileService, WorkspaceService } from "@serverless-harness/proto/hands";
import { Changes, type ChangesOptions } from "../../changes/changes.ts";
import { DEFAULT_FILE_LIMITS } from "../../files/limits.ts";
import { Watches } from "../../files/watch/watches.ts";
import { type FileServiceOptions, fileService } from "../../rpc/file.ts";
import { workspaceService } from "../../rpc/workspace.ts";
import { Workspaces } from "../../workspaces/workspaces.ts";
import { openTrees } from "../fixtures/trees.ts";
import { messages } from "../streams.ts";

/** What tests of the file service talk to. */
export interface FileServiceUnderTest {
  readonly files: Client<typeof FileService>;
  readonly workspaces: Workspaces;
  readonly changes: Changes;
  readonly watches: Watches;
  readonly address: Address;
  /** The workspace `acme/one`, owned with epoch 1: its directory, and the fields that every changing call carries. */
  readonly path: string;
  readonly spill: string;
  change(id: string): { changeId: string; workspace: string; epoch: bigint };
  /** Write a text as one message, and return the answer. */
  write(
    path: string,
    text: string | Uint8Array,
    options?: { id?: string; ifMatch?: string; append?: boolean; mode?: number; epoch?: bigint },
  ): ReturnType<Client<typeof FileService>["write"]>;
  /** All of a range. */
  read(path: string, options?: { offset?: bigint; length?: bigint; ifMatch?: string }): Promise<string>;
}

/** Name of the workspace. */
export const WORKSPACE = "acme/one";

/** A real server with a workspace in `base`, by default a temporary directory. */
export async function startFileService(
  options: Partial<Pick<FileServiceOptions, "limits">> & Partial<Pick<ChangesOptions, "failpoint">> & { base?: string } = {},
): Promise<FileServiceUnderTest> {
  const base = options.base ?? (await temporaryDirectory());
  const workspaces = await Workspaces.open({ root: join(base, "workspaces"), state: join(base, "state") });
  const { failpoint, limits } = options;
  const changes = new Changes({
    workspaces,
    durability: "process",
    log: createLogger("test", "silent"),
    ...(failpoint === undefined ? {} : { failpoint }),
  });
  const { workspace } = await workspaces.create(WORKSPACE, 1n);
  const trees = await openTrees(base);
  const spill = join(base, "workspaces/.spill", WORKSPACE);
  const watches = new Watches(workspaces, { ...DEFAULT_FILE_LIMITS, ...limits });
  const service = fileService({
    workspaces,
    changes,
    watches,
    spillDirectory: () => spill,
    ...(limits === undefined ? {} : { limits }),
  });
  const { server, client } = await startServer({
    routes: (router) => router.service(FileService, service).service(WorkspaceService, workspaceService({ workspaces, trees })),
  });
  const files = createClient(FileService, client());
  let next = 0;
  return {
    files,
    workspaces,
    changes,
    watches,
    address: server.address,
    path: workspace.path,
    spill,
    change: (changeId) => ({ changeId, workspace: WORKSPACE, epoch: 1n }),
    write: (path, text, { id = `write-${next++}`, ifMatch = "", append = false, mode = 0, epoch = 1n } = {}) => {
      const header = { changeId: id, workspace: WORKSPACE, epoch, path, ifMatch, append, mode };
      const data = typeof text === "string" ? Buffer.from(text) : text;
      return files.write(messages({ part: { case: "header" as const, value: header } }, { part: { case: "data" as const, value: data } }));
    },
    read: async (path, range = {}) => {
      const pieces: Uint8Array[] = [];
      for await (const { data } of files.read({ workspace: WORKSPACE, path, ...range })) pieces.push(data);
      return Buffer.concat(pieces).toString("utf8");
    },
  };
}

/** Reason of the error that a call ends with; `ok` where it succeeds. */
export async function reasonOf(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return "ok";
  } catch (error) {
    return fromConnectError(error).reason;
  }
}
