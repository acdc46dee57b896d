import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.ts";

/** Largest request body in bytes, as the API has it. */
export const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** Read a request's body. Throws a 413 where it is too large; the rest of it is then thrown away. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const tooLarge = new ApiError(413, `Request exceeds the maximum size of ${MAX_BODY_BYTES} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) throw tooLarge;
  const chunks: Buffer[] = [];
  let bytes = 0;
  return await new Promise<string>((resolve, reject) => {
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
      else {
        chunks.length = 0;
        reject(tooLarge);
      }
    });
    request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    request.on("error", () => reject(new ApiError(400, "the request broke off")));
  });
}
