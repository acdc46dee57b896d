import { type MessageInitShape, create as message } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type FileInfo, FileService, WriteHeaderSchema, type WriteRequestSchema } from "@serverless-harness/proto/hands";
import type { BatchOutcome } from "./batch-types.ts";
import { runBatch } from "./files-batch.ts";
import { present } from "./present.ts";
import type { Retry } from "./retry.ts";
import type { FilesClient, WriteOptions } from "./types.ts";

/** Bytes of a message of a Write. */
const PIECE_BYTES = 512 * 1024;

/**
 * The files of one workspace. Every call may be repeated: reads change nothing, changes carry an id under which they happen once. So each
 * is retried while hands can't be reached. Throws HarnessErrors.
 */
export class WorkspaceFiles implements FilesClient {
  readonly name: string;
  readonly #epoch: bigint;
  readonly #retry: Retry;
  readonly #transport: Transport;
  #client: Client<typeof FileService> | undefined;

  /** `name`: `<tenant>/<session>`; `epoch`: the owner's fencing token. */
  constructor(transport: Transport, name: string, epoch: bigint, retry: Retry) {
    this.name = name;
    this.#epoch = epoch;
    this.#retry = retry;
    this.#transport = transport;
  }

  /** Made when the first file is asked for: many owners of a workspace never do, and their first model request waits for all that is made. */
  get #files(): Client<typeof FileService> {
    this.#client ??= createClient(FileService, this.#transport);
    return this.#client;
  }

  async stat(...[path, options]: Parameters<FilesClient["stat"]>): Promise<FileInfo> {
    const { file } = await this.#retry(() => this.#files.stat({ workspace: this.name, path, follow: options?.follow ?? false }));
    return present(file, "file");
  }

  read(...[path, options = {}]: Parameters<FilesClient["read"]>): Promise<Uint8Array> {
    const { offset = 0, length = 0, ifMatch = "" } = options;
    const request = { workspace: this.name, path, offset: BigInt(offset), length: BigInt(length), ifMatch };
    // A read that broke starts anew: the file may be another one by now.
    return this.#retry(async () => {
      const pieces: Uint8Array[] = [];
      for await (const { data } of this.#files.read(request)) if (data.length > 0) pieces.push(data);
      return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
    });
  }

  async write(...[path, data, options]: Parameters<FilesClient["write"]>): ReturnType<FilesClient["write"]> {
    const { file, replayed, partedLinks } = await this.#retry(() => this.#files.write(this.#writeMessages(path, data, options)));
    return { file: present(file, "file"), replayed, partedLinks };
  }

  async edit(...[path, edits, options]: Parameters<FilesClient["edit"]>): ReturnType<FilesClient["edit"]> {
    const { changeId, ifMatch = "" } = options;
    const replacements = edits.map(({ oldText, newText }) => ({ oldText, newText }));
    const answer = await this.#retry(() => this.#files.edit({ ...this.#change(changeId), path, edits: replacements, ifMatch }));
    const { file, patch, firstChangedLine, replayed, partedLinks } = answer;
    return { file: present(file, "file"), patch, firstChangedLine: Number(firstChangedLine), replayed, partedLinks };
  }

  async list(path: string): Promise<FileInfo[]> {
    const files: FileInfo[] = [];
    let pageToken = "";
    do {
      const page = await this.#retry(() => this.#files.list({ workspace: this.name, path, pageSize: 10_000, pageToken }));
      files.push(...page.files);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return files;
  }

  async find(...[path, glob, options = {}]: Parameters<FilesClient["find"]>): Promise<{ paths: string[]; truncated: boolean }> {
    const { limit = 0, includeIgnored = false } = options;
    const { paths, truncated } = await this.#retry(() => this.#files.find({ workspace: this.name, path, glob, limit, includeIgnored }));
    return { paths, truncated };
  }

  async grep(...[path, pattern, options = {}]: Parameters<FilesClient["grep"]>): ReturnType<FilesClient["grep"]> {
    const { literal = false, ignoreCase = false, glob = "", contextLines = 0, limit = 0 } = options;
    const request = { workspace: this.name, path, pattern, literal, ignoreCase, glob, contextLines, limit };
    const { lines, truncated, binary } = await this.#retry(() => this.#files.grep(request));
    return { lines, truncated, binary };
  }

  async mkdir(...[path, { changeId, recursive = false }]: Parameters<FilesClient["mkdir"]>): Promise<void> {
    await this.#retry(() => this.#files.mkdir({ ...this.#change(changeId), path, recursive }));
  }

  async move(...[source, destination, { changeId }]: Parameters<FilesClient["move"]>): Promise<void> {
    await this.#retry(() => this.#files.move({ ...this.#change(changeId), source, destination }));
  }

  async remove(...[path, options]: Parameters<FilesClient["remove"]>): Promise<void> {
    const { changeId, recursive = false, missingOk = false } = options;
    await this.#retry(() => this.#files.remove({ ...this.#change(changeId), path, recursive, missingOk }));
  }

  batch(...[steps, options]: Parameters<FilesClient["batch"]>): Promise<BatchOutcome[]> {
    const owner = { workspace: this.name, epoch: this.#epoch };
    return runBatch(this.#files, this.#retry, owner, steps, options?.stopOnError ?? false);
  }

  #change(changeId: string): { changeId: string; workspace: string; epoch: bigint } {
    return { changeId, workspace: this.name, epoch: this.#epoch };
  }

  async *#writeMessages(
    path: string,
    data: Uint8Array,
    options: WriteOptions,
  ): AsyncGenerator<MessageInitShape<typeof WriteRequestSchema>> {
    const { changeId, ifMatch = "", mode = 0, append = false } = options;
    const header = message(WriteHeaderSchema, { ...this.#change(changeId), path, ifMatch, mode, append });
    yield { part: { case: "header", value: header } };
    for (let start = 0; start < data.length; start += PIECE_BYTES) {
      yield { part: { case: "data", value: data.subarray(start, start + PIECE_BYTES) } };
    }
  }
}
