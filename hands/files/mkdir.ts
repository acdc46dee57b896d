import { mkdirSync, rmSync } from "node:fs";
import { chown } from "node:fs/promises";
import { locate } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { MkdirResponseSchema } from "@serverless-harness/proto/hands";
import { type NoChange, type Plan, StalePlan } from "../changes/changes.ts";
import { syncDirectory } from "../fs/durable.ts";
import { ownershipIn, statNow } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { type Destination, Placement } from "./placement.ts";

type Response = typeof MkdirResponseSchema;

export interface MkdirOrder {
  readonly workspace: Workspace;
  readonly path: string;
  /** Make missing parents, and accept a directory that is there. */
  readonly recursive: boolean;
}

/** Plan to make a directory, with its missing parents. `stagedPath`: a free one in the staging directory. */
export async function planMkdir(order: MkdirOrder, stagedPath: string): Promise<Plan<Response> | NoChange<Response>> {
  const { path, recursive } = order;
  await using resources = new AsyncDisposableStack();
  const location = resources.use(locate([order.workspace], path, { follow: recursive }));
  if (location.entry !== undefined) {
    if (!recursive) throw pathError("already_exists", path);
    if (!location.entry.stat().isDirectory()) throw pathError("not_directory", path);
    return { answer: {} };
  }
  if (location.missing.length > 1 && !recursive) throw pathError("not_found", path);
  const { parent } = location;
  if (parent === undefined) throw new Error("a root that is missing");
  const destination: Destination = Object.assign(location, { parent });
  await stageDirectory(stagedPath, destination);
  resources.defer(() => rmSync(stagedPath, { recursive: true, force: true }));
  const placement = resources.use(await Placement.prepare(destination, stagedPath, false));
  const owned = resources.move();
  return {
    witness: placement.witness,
    draft: {},
    commit: () => {
      // A rename would replace an empty directory that was made meanwhile, under whoever works in it.
      if (statNow(parent.child(destination.name)) !== undefined) throw new StalePlan();
      placement.commit();
      return {};
    },
    settle: () => placement.settle(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function stageDirectory(path: string, destination: Destination): Promise<void> {
  mkdirSync(path);
  const owner = ownershipIn(destination.parent);
  await chown(path, owner.uid, owner.gid);
  await syncDirectory(path);
}
