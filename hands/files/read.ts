import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { locateExisting, type Root } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { ReadResponseSchema } from "@serverless-harness/proto/hands";
import { describe } from "../fs/file-info.ts";
import { fileAt, requireMatch } from "./existing-file.ts";

export interface ReadOrder {
  readonly path: string;
  readonly offset: number;
  /** At most this many bytes; 0: to the end. */
  readonly length: number;
  readonly ifMatch: string;
}

/** Bytes of a piece: bigger ones are hardly faster, and a client shows the first one sooner. */
const PIECE_BYTES = 256 * 1024;

/**
 * Stream a range of a file, as large as the file was at the start: one that grows meanwhile doesn't make it endless. With `ifMatch` the
 * file is checked at the end as well, so that what was read is of one version.
 */
export async function* readRange(
  roots: readonly [Root, ...Root[]],
  order: ReadOrder,
): AsyncGenerator<MessageInitShape<typeof ReadResponseSchema>> {
  using location = locateExisting(roots, order.path, { follow: true });
  const found = fileAt(location, order.path);
  if (found === undefined) throw pathError("not_found", order.path);
  requireMatch(order.ifMatch, found, order.path);
  await using file = await open(found.handle.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const size = Number(found.stat.size);
  const end = order.length === 0 ? size : Math.min(size, order.offset + order.length);
  let described = false;
  for (let position = order.offset; position < end || !described; ) {
    const wanted = Math.max(0, Math.min(PIECE_BYTES, end - position));
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
    const data = buffer.subarray(0, bytesRead);
    yield described ? { data } : { file: describe(found.stat, location.path), data };
    described = true;
    // The file was cut meanwhile.
    if (bytesRead === 0) break;
    position += bytesRead;
  }
  requireMatch(order.ifMatch, { handle: found.handle, stat: found.handle.stat() }, order.path);
}
