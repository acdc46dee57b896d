import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { WriteResponseSchema } from "@serverless-harness/proto/hands";
import type { Plan } from "../changes/changes.ts";
import { StagedFile } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { type NewContent, planReplacement } from "./replace.ts";

/** What to write where. */
export interface WriteOrder {
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
