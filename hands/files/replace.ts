import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { locate } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { FileInfoSchema, WriteResponseSchema } from "@serverless-harness/proto/hands";
import { type Plan, StalePlan } from "../changes/changes.ts";
import { inodeOf } from "../changes/witness.ts";
import { describe, MODE_BITS, sameContent } from "../fs/file-info.ts";
import { ownershipIn, StagedFile, statNow } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { type ExistingFile, fileAt, requireMatch, requireWritable } from "./existing-file.ts";
import { type Destination, Placement } from "./placement.ts";

interface NewContent<M extends DescMessage> {
  readonly staged: StagedFile;
  /** It was made from the old content, so it is a {@link StalePlan} if that has changed. */
  readonly fromOld: boolean;
  /** The call's answer about the file as it is now. `partedLinks`: other names that the old file has, which keep its content. */
  answer(file: MessageInitShape<typeof FileInfoSchema>, partedLinks: number): MessageInitShape<M>;
}

/** A call that gives a file new content. */
interface ReplaceRequest<M extends DescMessage> {
  readonly workspace: Workspace;
  readonly path: string;
  /** An ETag, `*`, or empty. */
  readonly ifMatch: string;
  /** Permission bits for a new file. */
  readonly mode: number;
  /** Make the new content. What it adds to `resources` is disposed when the plan is. */
  content(old: ExistingFile | undefined, resources: AsyncDisposableStack): Promise<NewContent<M>>;
}

/** Plan to give a file new content: the whole of it, staged beside the workspace and renamed over it. */
export async function planReplacement<M extends DescMessage>(request: ReplaceRequest<M>): Promise<Plan<M>> {
  await using resources = new AsyncDisposableStack();
  const { path, workspace } = request;
  const location = resources.use(locate([workspace], path, { follow: true }));
  const { parent } = location;
  if (parent === undefined) throw pathError("is_directory", path);
  const destination: Destination = Object.assign(location, { parent });
  const old = fileAt(location, path);
  requireMatch(request.ifMatch, old, path);
  if (old !== undefined) requireWritable(old);
  const { staged, fromOld, answer } = await request.content(old, resources);
  await staged.own(old === undefined ? ownershipIn(parent, request.mode) : ownershipOf(old));
  const mustBeNew = old === undefined && (fromOld || request.ifMatch === "*");
  const placement = resources.use(await Placement.prepare(destination, staged.path, mustBeNew));
  const mustBeSame = fromOld || request.ifMatch !== "";
  // A rename gives the name another inode: what else the old one is called does not change with it, which is why an
  // editor's write to a package store's file does no harm.
  const partedLinks = old === undefined ? 0 : Number(old.stat.nlink) - 1;
  const owned = resources.move();
  return {
    witness: placement.witness,
    target: { path: placement.target(workspace), inode: inodeOf(staged.stat()) },
    draft: answer(describe(staged.stat(), location.path), partedLinks),
    commit: () => {
      if (mustBeSame && old !== undefined) requireSame(destination, old);
      placement.commit();
      return answer(describe(staged.stat(), location.path), partedLinks);
    },
    secure: () => staged.sync(),
    settle: () => placement.settle(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The name still stands for the same inode with the same content. */
function requireSame(destination: Destination, old: ExistingFile): void {
  const now = statNow(destination.parent.child(destination.name));
  if (now === undefined || !sameContent(now, old.stat)) throw new StalePlan();
}

function ownershipOf({ stat }: ExistingFile): { uid: number; gid: number; mode: number } {
  return { uid: Number(stat.uid), gid: Number(stat.gid), mode: Number(stat.mode) & MODE_BITS };
}

interface WriteOrder {
  readonly workspace: Workspace;
  readonly path: string;
  readonly ifMatch: string;
  /** Permission bits for a new file. */
  readonly mode: number;
  readonly append: boolean;
  /** Bytes of the largest file that may come out. */
  readonly maxBytes: number;
}

type Response = typeof WriteResponseSchema;

/** Plan to replace a file by `data`, or to append it. Appending makes a new file of both, so that it happens by one rename as well. */
export function planWrite(order: WriteOrder, data: StagedFile): Promise<Plan<Response>> {
  return planReplacement<Response>({
    ...order,
    content: async (old, resources): Promise<NewContent<Response>> => {
      const answer: NewContent<Response>["answer"] = (file, partedLinks) => ({ file, partedLinks });
      if (!order.append || old === undefined) return { staged: data, fromOld: order.append, answer };
      if (old.stat.size + data.stat().size > BigInt(order.maxBytes)) throw fileTooLarge(order.path, order.maxBytes);
      const whole = resources.use(await StagedFile.copy(old.handle, `${data.path}.whole`));
      await whole.appendAll(data);
      return { staged: whole, fromOld: true, answer };
    },
  });
}

/** RESOURCE_EXHAUSTED `file_too_large` with the limit. */
export function fileTooLarge(path: string, maxBytes: number): Error {
  return pathError("file_too_large", path, { metadata: { limit_bytes: String(maxBytes) } });
}
