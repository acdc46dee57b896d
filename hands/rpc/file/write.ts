import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidArgument } from "@serverless-harness/kit/errors";
import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { type WriteHeader, type WriteRequest, WriteResponseSchema } from "@serverless-harness/proto/hands";
import { fingerprint } from "../../files/fingerprint.ts";
import { fileTooLarge, planWrite } from "../../files/write.ts";
import { StagedFile } from "../../fs/staged-file.ts";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";

const MAX_PIECE_BYTES = 1024 * 1024;
const DEFAULT_MODE = 0o644;
const EARLY_SYNC_BYTES = 256 * 1024;

export function write(deps: FileDeps): FileRpc<"write"> {
  return async (messages) => {
    const stream = messages[Symbol.asyncIterator]();
    return writeFile(deps, await readHeader(stream), pieces(stream));
  };
}

/** Write a file, whichever call its header and data came with. */
export async function writeFile(
  deps: FileDeps,
  header: WriteHeader,
  data: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<MessageInitShape<typeof WriteResponseSchema>> {
  checkHeader(header);
  const { changeId: id, epoch, path, ifMatch, append } = header;
  const workspace = await deps.workspaces.resolve(header.workspace, epoch);
  return aboutPath(path, async () => {
    await using staged = await StagedFile.create(await deps.changes.stage(workspace));
    const hash = await receive(data, staged, path, deps.limits.writeBytes);
    const order = { workspace, path, ifMatch, mode: header.mode || DEFAULT_MODE, append, maxBytes: deps.limits.writeBytes };
    const { answer, replayed } = await deps.changes.run({
      id,
      workspace,
      epoch,
      path,
      fingerprint: fingerprint("write", path, ifMatch, order.mode, append, hash),
      schema: WriteResponseSchema,
      plan: () => planWrite(order, staged),
    });
    return { ...answer, replayed };
  });
}

async function readHeader(stream: AsyncIterator<WriteRequest>): Promise<WriteHeader> {
  const first = await stream.next();
  if (first.done !== true && first.value.part.case === "header") return first.value.part.value;
  throw invalidArgument([{ field: "header", description: "must be the first message of the stream" }]);
}

function checkHeader(header: WriteHeader): void {
  const valid = new FileValidation();
  valid.change(header);
  valid.path("path", header.path);
  valid.etag("if_match", header.ifMatch);
  valid.range("mode", header.mode, 0, 0o7777);
  valid.done();
}

/** The data behind the header. */
async function* pieces(stream: AsyncIterator<WriteRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    const { part } = next.value;
    if (part.case !== "data") throw invalidArgument([{ field: "data", description: "must follow the header in every other message" }]);
    if (part.value.length > MAX_PIECE_BYTES) {
      throw invalidArgument([{ field: "data", description: `must be at most ${MAX_PIECE_BYTES} bytes a message` }]);
    }
    yield part.value;
  }
}

/** Take the data, and return its hash. A stream that breaks throws, so half a file is never taken for a whole one. */
async function receive(
  data: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  staged: StagedFile,
  path: string,
  maxBytes: number,
): Promise<string> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of data) {
    bytes += piece.length;
    if (bytes > maxBytes) throw fileTooLarge(path, maxBytes);
    hash.update(piece);
    await staged.append(piece);
  }
  // What takes long to flush is flushed before its turn, so that no other change waits for it.
  if (bytes > EARLY_SYNC_BYTES) await staged.sync();
  return hash.digest("base64url");
}
