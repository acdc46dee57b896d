import { type MessageInitShape, create as message } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type FileInfo, FileService, WriteHeaderSchema, type WriteRequestSchema } from "@serverless-harness/proto/hands";
import { runBatch } from "./files-batch.ts";
import { present, type Retry } from "./retry.ts";
import type { FilesClient } from "./types.ts";

/** Bytes of a message of a Write. */
const PIECE_BYTES = 512 * 1024;

/** What the files of a workspace need. */
interface FilesOptions {
  readonly transport: Transport;
  readonly name: string;
  readonly epoch: bigint;
  readonly retry: Retry;
}

/**
 * The files of one workspace. Reads change nothing, and changes carry an id under which they happen once, so every
 * call may be repeated.
 */
export function filesClient({ transport, name: workspace, epoch, retry }: FilesOptions): FilesClient {
  let made: Client<typeof FileService> | undefined;
  /** Made for the first call: many owners of a workspace need no files, and their first model request waits for everything that is made. */
  const client = (): Client<typeof FileService> => {
    made ??= createClient(FileService, transport);
    return made;
  };
  const change = (changeId: string): { changeId: string; workspace: string; epoch: bigint } => ({ changeId, workspace, epoch });
  return {
    stat: async (path, { follow = false } = {}) => {
      const { file } = await retry(() => client().stat({ workspace, path, follow }));
      return present(file, "file");
    },
    // A read that broke starts again: the file may be another one by now.
    read: (path, { offset = 0, length = 0, ifMatch = "" } = {}) =>
      retry(async () => {
        const pieces: Uint8Array[] = [];
        const request = { workspace, path, offset: BigInt(offset), length: BigInt(length), ifMatch };
        for await (const { data } of client().read(request)) if (data.length > 0) pieces.push(data);
        return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
      }),
    write: async (path, data, { changeId, ifMatch = "", mode = 0, append = false }) => {
      const header = message(WriteHeaderSchema, { ...change(changeId), path, ifMatch, mode, append });
      const { file, replayed, partedLinks } = await retry(() => client().write(writeMessages(header, data)));
      return { file: present(file, "file"), replayed, partedLinks };
    },
    edit: async (path, edits, { changeId, ifMatch = "" }) => {
      const replacements = edits.map(({ oldText, newText }) => ({ oldText, newText }));
      const answer = await retry(() => client().edit({ ...change(changeId), path, edits: replacements, ifMatch }));
      const { file, patch, firstChangedLine, replayed, partedLinks } = answer;
      return { file: present(file, "file"), patch, firstChangedLine: Number(firstChangedLine), replayed, partedLinks };
    },
    list: async (path) => {
      const files: FileInfo[] = [];
      let pageToken = "";
      do {
        const page = await retry(() => client().list({ workspace, path, pageSize: 10_000, pageToken }));
        files.push(...page.files);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return files;
    },
    find: async (path, glob, { limit = 0, includeIgnored = false } = {}) => {
      const { paths, truncated } = await retry(() => client().find({ workspace, path, glob, limit, includeIgnored }));
      return { paths, truncated };
    },
    grep: async (path, pattern, { literal = false, ignoreCase = false, glob = "", contextLines = 0, limit = 0 } = {}) => {
      const request = { workspace, path, pattern, literal, ignoreCase, glob, contextLines, limit };
      const { lines, truncated, binary } = await retry(() => client().grep(request));
      return { lines, truncated, binary };
    },
    mkdir: async (path, { changeId, recursive = false }) => {
      await retry(() => client().mkdir({ ...change(changeId), path, recursive }));
    },
    move: async (source, destination, { changeId }) => {
      await retry(() => client().move({ ...change(changeId), source, destination }));
    },
    remove: async (path, { changeId, recursive = false, missingOk = false }) => {
      await retry(() => client().remove({ ...change(changeId), path, recursive, missingOk }));
    },
    batch: (steps, { stopOnError = false } = {}) => runBatch(client(), retry, { workspace, epoch }, steps, stopOnError),
  };
}

async function* writeMessages(
  header: MessageInitShape<typeof WriteHeaderSchema>,
  data: Uint8Array,
): AsyncGenerator<MessageInitShape<typeof WriteRequestSchema>> {
  yield { part: { case: "header", value: header } };
  for (let start = 0; start < data.length; start += PIECE_BYTES) {
    yield { part: { case: "data", value: data.subarray(start, start + PIECE_BYTES) } };
  }
}
