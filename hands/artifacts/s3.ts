import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { Code } from "@connectrpc/connect";
import { fullJitter } from "@serverless-harness/kit/backoff";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type ArtifactContent, type ArtifactStore, artifactsMisconfigured, artifactsUnavailable, assertKey } from "./artifact-store.ts";

/** Where artifacts lie on S3, or on a server that speaks like it. */
export interface S3Options {
  readonly bucket: string;
  /** Goes before every key, with a slash between. Default: nothing. */
  readonly prefix?: string;
  /** Default `us-east-1`. */
  readonly region?: string;
  /** URL of the server. Default: Amazon's of the region. */
  readonly endpoint?: string;
  /** Name the bucket in the path, as servers of one's own want it, and not in the host. Default: true if an endpoint is set. */
  readonly pathStyle?: boolean;
  /** Default: the SDK's chain (variables, files, the machine's or the pod's own identity). */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string };
}

type Sdk = typeof import("./s3-sdk.ts")["sdk"];

interface Loaded {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A connection that is silent for this time is cut. */
const IDLE_TIMEOUT_MS = 60_000;
const ATTEMPTS = 3;
const RETRY_BASE_MS = 100;
const RETRY_MAX_MS = 2000;

/** Artifacts as objects in a bucket, each by one request. The SDK, which takes long to load, is loaded with the first call. */
export class S3Artifacts implements ArtifactStore {
  readonly #options: S3Options;
  #loaded: Promise<Loaded> | undefined;

  constructor(options: S3Options) {
    this.#options = options;
  }

  async put(key: string, content: ArtifactContent): Promise<void> {
    const Key = this.#key(key);
    const body = await S3Body.of(content);
    await this.#call(async ({ sdk, client }, Bucket) => {
      const fields = { Bucket, Key, ContentLength: body.size, ChecksumSHA256: body.sha256 };
      // The SDK doesn't repeat what it can't read again.
      for (let attempt = 1; ; attempt++) {
        try {
          await client.send(new sdk.PutObjectCommand({ ...fields, Body: body.open() }));
          return;
        } catch (error) {
          if (!isPassing(error) || attempt === ATTEMPTS) throw error;
          await sleep(fullJitter(attempt, RETRY_BASE_MS, RETRY_MAX_MS));
        }
      }
    });
  }

  get(key: string): Promise<Readable | undefined> {
    const Key = this.#key(key);
    return this.#call(async ({ sdk, client }, Bucket) => {
      try {
        const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key }));
        return Readable.from(translating(Body instanceof Readable ? Body : Readable.from([]), Bucket), { objectMode: false });
      } catch (error) {
        if (error instanceof sdk.NoSuchKey) return undefined;
        throw error;
      }
    });
  }

  has(key: string): Promise<boolean> {
    const Key = this.#key(key);
    return this.#call(async ({ sdk, client }, Bucket) => {
      try {
        await client.send(new sdk.HeadObjectCommand({ Bucket, Key }));
        return true;
      } catch (error) {
        if (statusOf(error) !== 404) throw error;
      }
      // An answer without a body doesn't tell a missing object from a missing bucket.
      await client.send(new sdk.HeadBucketCommand({ Bucket })).catch((error: unknown) => {
        if (statusOf(error) === 404) throw artifactsMisconfigured(`has no bucket ${Bucket}: create it, or name another one`, error);
      });
      return false;
    });
  }

  async delete(key: string): Promise<void> {
    const Key = this.#key(key);
    await this.#call(({ sdk, client }, Bucket) => client.send(new sdk.DeleteObjectCommand({ Bucket, Key })));
  }

  async deleteBelow(prefix: string): Promise<void> {
    const Prefix = `${this.#key(prefix)}/`;
    await this.#call(async ({ sdk, client }, Bucket) => {
      for (;;) {
        // What was deleted is not listed again.
        const { Contents = [] } = await client.send(new sdk.ListObjectsV2Command({ Bucket, Prefix }));
        if (Contents.length === 0) return;
        for (const { Key } of Contents) await client.send(new sdk.DeleteObjectCommand({ Bucket, Key }));
      }
    });
  }

  close(): void {
    void this.#loaded?.then(({ client }) => client.destroy());
  }

  #key(key: string): string {
    assertKey(key);
    const prefix = (this.#options.prefix ?? "").replace(/^\/+|\/+$/g, "");
    return prefix === "" ? key : `${prefix}/${key}`;
  }

  async #call<T>(call: (loaded: Loaded, bucket: string) => Promise<T>): Promise<T> {
    this.#loaded ??= load(this.#options);
    const { bucket } = this.#options;
    try {
      return await call(await this.#loaded, bucket);
    } catch (error) {
      throw translateS3Error(error, bucket);
    }
  }
}

async function load(options: S3Options): Promise<Loaded> {
  const { sdk } = await import("./s3-sdk.ts");
  const client = new sdk.S3Client({
    region: options.region ?? "us-east-1",
    forcePathStyle: options.pathStyle ?? options.endpoint !== undefined,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    maxAttempts: ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: IDLE_TIMEOUT_MS },
    // What goes wrong is thrown, not printed.
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    // Checksums of our own go along. Those of the SDK are a trailer, which servers other than Amazon's store as content.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  return { sdk, client };
}

function ignore(): void {}

async function* translating(body: Readable, bucket: string): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw translateS3Error(error, bucket);
  } finally {
    body.destroy();
  }
}

const CHUNK_BYTES = 256 * 1024;

/** What is sent to S3, with the checksum by which the server tells whether it arrived. */
class S3Body {
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

/** Names of errors that say who we are, or what we may do, is wrong. */
const REFUSED = new Set([
  "AccessDenied",
  "Forbidden",
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "InvalidToken",
  "AuthorizationHeaderMalformed",
  "CredentialsProviderError",
]);

/** Names of errors that say that the content broke on its way. */
const BROKEN = new Set(["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody"]);

/** What a client is told if a call to S3 failed. Its texts may hold names of hosts and keys, so they stay in the cause. */
function translateS3Error(error: unknown, bucket: string): unknown {
  if (error instanceof HarnessError) return error;
  // A defect, which no waiting mends. Errors of the system, of any kind, have a code.
  if (error instanceof TypeError && !("code" in error)) return error;
  const status = statusOf(error);
  const name = error instanceof Error ? error.name : "";
  if (name === "NoSuchBucket") return artifactsMisconfigured(`has no bucket ${bucket}: create it, or name another one`, error);
  if (name === "PermanentRedirect" || status === 301) {
    return artifactsMisconfigured(`keeps the bucket ${bucket} in another region: name that region`, error);
  }
  if (REFUSED.has(name) || status === 401 || status === 403) {
    return artifactsMisconfigured(
      `refuses this daemon's credentials, or there are none: let them get, put, delete and list in the bucket ${bucket}`,
      error,
    );
  }
  if (BROKEN.has(name))
    return new HarnessError(Code.DataLoss, "artifact_damaged", "the artifact was damaged on its way: try again", { cause: error });
  if (name === "EntityTooLarge") {
    return new HarnessError(Code.ResourceExhausted, "artifact_too_large", "the artifact is larger than the artifact store takes", {
      cause: error,
    });
  }
  return artifactsUnavailable(status === undefined ? "can't be reached" : `failed with status ${status}`, error);
}

/** The same call may well succeed a moment later: nobody answered, or the server failed. */
function isPassing(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined) return status >= 500;
  return error instanceof Error && ("code" in error || error.name === "TimeoutError");
}

/** The HTTP status of an answer; `undefined` if none came. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("$metadata" in error)) return undefined;
  const metadata: unknown = error.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}
