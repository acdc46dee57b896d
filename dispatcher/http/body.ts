import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { PlainRequest } from "@serverless-harness/kit/serve";

/** How much of an unwanted body is read to its end, so that the client gets to read the answer, before the connection is cut. */
const DISCARD_BYTES = 64 * 1024 * 1024;
const DISCARD_MS = 10_000;

/** Read a body of at most `maxBytes`. RESOURCE_EXHAUSTED `body_too_large` as soon as it is known to be longer. */
export async function readBody(request: PlainRequest, maxBytes: number): Promise<Buffer> {
  const tooLarge = (): HarnessError => {
    const metadata = { limit_bytes: String(maxBytes) };
    return new HarnessError(Code.ResourceExhausted, "body_too_large", `the body must be at most ${maxBytes} bytes`, { metadata });
  };
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let length = 0;
  const onData = (chunk: Buffer): void => {
    length += chunk.length;
    if (length <= maxBytes) chunks.push(chunk);
    else reject(tooLarge());
  };
  const onEnd = (): void => resolve(Buffer.concat(chunks, length));
  const onCut = (): void => reject(new HarnessError(Code.Canceled, "client_gone", "the body broke off: send it again"));
  request.on("data", onData).on("end", onEnd).on("close", onCut).on("error", onCut);
  try {
    return await promise;
  } finally {
    request.off("data", onData).off("end", onEnd).off("close", onCut);
  }
}

/** A body's JSON object. INVALID_ARGUMENT `invalid_json` where it is none; `example` is shown then. */
export function parseObject(body: Buffer, example: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    value = undefined;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new HarnessError(Code.InvalidArgument, "invalid_json", `the body must be a JSON object in UTF-8, as ${example}`);
}

/** Read what is left of a body and throw it away, within bounds. */
export function discard(request: PlainRequest): void {
  if (request.readableEnded || request.destroyed) return;
  let left = DISCARD_BYTES;
  const timer = setTimeout(() => request.destroy(), DISCARD_MS).unref();
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
  request.on("error", () => undefined);
  request.once("close", () => clearTimeout(timer));
  request.once("end", () => clearTimeout(timer));
  request.resume();
}
