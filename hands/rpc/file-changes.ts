import { createHash } from "node:crypto";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { invalidArgument } from "@serverless-harness/kit/errors";
import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import {
  EditResponseSchema,
  type FileService,
  MkdirResponseSchema,
  MoveResponseSchema,
  RemoveResponseSchema,
  type WriteHeader,
  type WriteRequest,
  WriteResponseSchema,
} from "@serverless-harness/proto/hands";
import type { Change, Changes } from "../changes/changes.ts";
import { planEdit } from "../files/edit.ts";
import type { FileLimits } from "../files/limits.ts";
import { planMkdir } from "../files/mkdir.ts";
import { planMove } from "../files/move.ts";
import { planRemove } from "../files/remove.ts";
import { fileTooLarge, planWrite } from "../files/replace.ts";
import { FileValidation } from "../files/validate.ts";
import { StagedFile } from "../fs/staged-file.ts";
import type { Workspace, Workspaces } from "../workspaces/workspaces.ts";

const MAX_EDITS = 1000;
const MAX_PIECE_BYTES = 1024 * 1024;
const DEFAULT_MODE = 0o644;
const EARLY_SYNC_BYTES = 256 * 1024;

/** What the file RPCs need. */
export interface FileDeps {
  readonly workspaces: Workspaces;
  readonly changes: Changes;
  readonly limits: FileLimits;
}

type Calls = ServiceImpl<typeof FileService>;

/** The RPCs that change files, each at most once per change id. */
export function fileChanges(deps: FileDeps): Pick<Calls, "write" | "edit" | "mkdir" | "move" | "remove"> {
  return {
    async write(messages) {
      const stream = messages[Symbol.asyncIterator]();
      return writeFile(deps, await readHeader(stream), pieces(stream));
    },

    async edit(request) {
      const { path, edits, ifMatch } = request;
      const valid = new FileValidation();
      valid.change(request);
      valid.path("path", path);
      valid.etag("if_match", ifMatch);
      valid.check("edits", edits.length >= 1 && edits.length <= MAX_EDITS, `must be 1 to ${MAX_EDITS}`);
      for (const [index, { oldText, newText }] of edits.entries()) {
        valid.check(`edits[${index}].old_text`, oldText !== "", "must not be empty");
        valid.check(`edits[${index}].new_text`, oldText === "" || oldText !== newText, "must differ from old_text");
      }
      valid.done();
      return change(deps, request, {
        path,
        fingerprint: fingerprint("edit", path, ifMatch, ...edits.map(({ oldText, newText }) => [oldText, newText])),
        schema: EditResponseSchema,
        plan: (workspace, staged) => planEdit({ workspace, path, edits, ifMatch, maxBytes: deps.limits.editBytes }, staged),
      });
    },

    async mkdir(request) {
      const { path, recursive } = request;
      validatePath(request);
      return change(deps, request, {
        path,
        fingerprint: fingerprint("mkdir", path, recursive),
        schema: MkdirResponseSchema,
        plan: (workspace, staged) => planMkdir({ workspace, path, recursive }, staged),
      });
    },

    async move(request) {
      const { source, destination } = request;
      const valid = new FileValidation();
      valid.change(request);
      valid.path("source", source);
      valid.path("destination", destination);
      valid.done();
      return change(deps, request, {
        path: source,
        about: `${source} to ${destination}`,
        fingerprint: fingerprint("move", source, destination),
        schema: MoveResponseSchema,
        plan: (workspace) => planMove({ workspace, source, destination }),
      });
    },

    async remove(request) {
      const { path, recursive, missingOk } = request;
      validatePath(request);
      return change(deps, request, {
        path,
        fingerprint: fingerprint("remove", path, recursive, missingOk),
        schema: RemoveResponseSchema,
        plan: (workspace, staged) => planRemove({ workspace, path, recursive, missingOk }, staged),
      });
    },
  };
}

/** The fields that every changing request has. */
interface ChangeRequest {
  readonly changeId: string;
  readonly workspace: string;
  readonly epoch: bigint;
}

interface RequestedChange<M extends DescMessage> extends Pick<Change<M>, "path" | "fingerprint" | "schema"> {
  /** What errors are about. Default: `path`. */
  readonly about?: string;
  /** `staged`: a free path in the staging directory. */
  plan(workspace: Workspace, staged: string): ReturnType<Change<M>["plan"]>;
}

async function change<M extends DescMessage>(
  { workspaces, changes }: FileDeps,
  { changeId: id, workspace: name, epoch }: ChangeRequest,
  { about, plan, ...requested }: RequestedChange<M>,
): Promise<MessageShape<M> & { replayed: boolean }> {
  const workspace = await workspaces.resolve(name, epoch);
  return aboutPath(about ?? requested.path, async () => {
    const staged = await changes.stage(workspace);
    const { answer, replayed } = await changes.run({ ...requested, id, workspace, epoch, plan: () => plan(workspace, staged) });
    return { ...answer, replayed };
  });
}

function validatePath(request: ChangeRequest & { readonly path: string }): void {
  const valid = new FileValidation();
  valid.change(request);
  valid.path("path", request.path);
  valid.done();
}

/** Hash of what a call asks for. Parts in a fixed order; no two lists of parts give the same text. */
function fingerprint(...parts: ReadonlyArray<string | number | boolean | readonly string[]>): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}

/** Write a file, whichever call its header and data came with. */
export async function writeFile(
  { workspaces, changes, limits }: FileDeps,
  header: WriteHeader,
  data: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<MessageInitShape<typeof WriteResponseSchema>> {
  validateHeader(header);
  const { changeId: id, epoch, path, ifMatch, append } = header;
  const workspace = await workspaces.resolve(header.workspace, epoch);
  return aboutPath(path, async () => {
    await using staged = await StagedFile.create(await changes.stage(workspace));
    const hash = await receive(data, staged, path, limits.writeBytes);
    const order = { workspace, path, ifMatch, mode: header.mode || DEFAULT_MODE, append, maxBytes: limits.writeBytes };
    const { answer, replayed } = await changes.run({
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

function validateHeader(header: WriteHeader): void {
  const valid = new FileValidation();
  valid.change(header);
  valid.path("path", header.path);
  valid.etag("if_match", header.ifMatch);
  valid.range("mode", header.mode, 0, 0o7777);
  valid.done();
}

/** The data after the header. */
async function* pieces(stream: AsyncIterator<WriteRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    const { part } = next.value;
    if (part.case !== "data") throw invalidArgument([{ field: "data", description: "must follow the header in every other message" }]);
    if (part.value.length > MAX_PIECE_BYTES)
      throw invalidArgument([{ field: "data", description: `must be at most ${MAX_PIECE_BYTES} bytes a message` }]);
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
