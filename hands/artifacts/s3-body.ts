import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ArtifactContent } from "./artifact-store.ts";

const CHUNK_BYTES = 256 * 1024;

/** What is sent to S3, with the checksum by which the server tells whether it arrived. */
export class S3Body {
  readonly size: number;
  /** Base64. */
  readonly sha256: string;
  readonly #content: ArtifactContent;

  private constructor(content: ArtifactContent, size: number, sha256: string) {
    this.#content = content;
    this.size = size;
    this.sha256 = sha256;
  }

  static async of(content: ArtifactContent): Promise<S3Body> {
    const hash = createHash("sha256");
    if ("bytes" in content) return new S3Body(content, content.bytes.length, hash.update(content.bytes).digest("base64"));
    const { size } = await stat(content.file);
    await pipeline(createReadStream(content.file, { highWaterMark: CHUNK_BYTES }), hash);
    return new S3Body(content, size, hash.digest("base64"));
  }

  /** The content once more. */
  open(): Readable | Uint8Array {
    if ("bytes" in this.#content) return this.#content.bytes;
    return createReadStream(this.#content.file, { highWaterMark: CHUNK_BYTES });
  }
}
