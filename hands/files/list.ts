import { lstat, readdir } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidArgument } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { locateExisting, type Root } from "@serverless-harness/kit/paths/locate";
import { errnoOf, pathError } from "@serverless-harness/kit/paths/path-error";
import { shownBytes } from "@serverless-harness/kit/paths/shown-name";
import type { FileInfoSchema } from "@serverless-harness/proto/hands";
import { childPath } from "../fs/byte-names.ts";
import { describe } from "../fs/file-info.ts";

export interface ListOrder {
  readonly path: string;
  readonly pageSize: number;
  /** From {@link Page.nextPageToken}; empty for the first page. */
  readonly pageToken: string;
}

export interface Page {
  readonly files: ReadonlyArray<MessageInitShape<typeof FileInfoSchema>>;
  /** Empty at the end. */
  readonly nextPageToken: string;
}

/**
 * A directory's children, sorted by the bytes of their names. A page begins after the name that the previous one
 * ended with, so what is made or removed between two pages neither repeats nor hides anything else. Names are shown
 * as `shown-name.ts` says.
 */
export async function listDirectory(roots: readonly [Root, ...Root[]], order: ListOrder): Promise<Page> {
  const after = parseToken(order.pageToken);
  using location = locateExisting(roots, order.path, { follow: true });
  if (!location.entry.stat().isDirectory()) throw pathError("not_directory", order.path);
  const names = (await readdir(location.entry.path, { encoding: "buffer" })).sort(Buffer.compare);
  const start = after === undefined ? 0 : names.findIndex((name) => Buffer.compare(name, after) > 0);
  const rest = start === -1 ? [] : names.slice(start);
  const page = rest.slice(0, order.pageSize);
  const files = await Promise.all(page.map((name) => describeChild(location.entry, name, location.path)));
  const last = page.at(-1);
  return {
    files: files.filter((file) => file !== undefined),
    nextPageToken: last !== undefined && rest.length > page.length ? last.toString("base64url") : "",
  };
}

async function describeChild(directory: Handle, name: Buffer, path: string): Promise<MessageInitShape<typeof FileInfoSchema> | undefined> {
  try {
    const stat = await lstat(childPath(directory, name.toString("latin1")), { bigint: true });
    return describe(stat, `${path}/${shownBytes(name)}`);
  } catch (error) {
    // Removed since the directory was read.
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function parseToken(token: string): Buffer | undefined {
  if (token === "") return undefined;
  const name = Buffer.from(token, "base64url");
  if (name.length > 0 && name.toString("base64url") === token) return name;
  throw invalidArgument([{ field: "page_token", description: "must come from an earlier answer" }]);
}
