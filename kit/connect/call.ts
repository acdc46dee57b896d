import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { validateResponse } from "@connectrpc/connect/protocol-connect";
import type { Connection } from "../connection.ts";

/** A call, but for what is sent. */
export interface Call<I extends DescMessage, O extends DescMessage> {
  readonly method: DescMethod & { readonly input: I; readonly output: O };
  readonly signal: AbortSignal | undefined;
  readonly header: Headers;
  /** Largest message that is read. */
  readonly readMaxBytes: number;
}

/** Begin a call; its stream is closed when the signal aborts. CANCELED, UNAVAILABLE. */
export async function begin<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  { method, signal, header }: Call<I, O>,
  contentType: string,
): Promise<ClientHttp2Stream> {
  if (signal?.aborted) throw canceled(signal);
  const headers = { ...Object.fromEntries(header), "content-type": contentType, "connect-protocol-version": "1" };
  const stream = await connection.request("POST", `/${method.parent.typeName}/${method.name}`, headers, {});
  const abort = (): void => cut(stream);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  stream.once("close", () => signal?.removeEventListener("abort", abort));
  // What it means is asked at its close.
  stream.on("error", () => undefined);
  return stream;
}

/**
 * Give a call up. By `destroy`, since `close` sends the end of the request in front of the reset: half a file would look like a whole one.
 */
export function cut(stream: ClientHttp2Stream, why = new ConnectError("the call was given up", Code.Canceled)): void {
  stream.destroy(why);
}

/** The response's headers, once they are there. Rejects if the stream ends without them. */
export function responseOf(stream: ClientHttp2Stream, signal: AbortSignal | undefined): Promise<IncomingHttpHeaders> {
  return new Promise((resolve, reject) => {
    stream.once("response", resolve);
    stream.once("close", () => reject(broken(stream, signal)));
  });
}

/** Why a stream is over that did not come to its end. */
export function broken(stream: ClientHttp2Stream, signal: AbortSignal | undefined): ConnectError {
  if (signal?.aborted) return canceled(signal);
  const { errored } = stream;
  if (errored instanceof ConnectError) return errored;
  const why = errored instanceof Error ? `: ${errored.message}` : "";
  return new ConnectError(`the connection broke in the middle of a call${why}`, Code.Unavailable, undefined, undefined, errored);
}

/**
 * Check the head of an answer. Returns the error that its status means if the body says more about it; throws, and gives the call up, if
 * it can't be used. Nobody asked for a compressed one.
 */
export function checkHead(
  stream: ClientHttp2Stream,
  { methodKind }: DescMethod,
  status: unknown,
  header: Headers,
): ConnectError | undefined {
  const encoding = header.get(methodKind === "unary" ? "content-encoding" : "connect-content-encoding");
  try {
    if (encoding !== null && encoding !== "identity") throw new ConnectError(`unsupported response encoding "${encoding}"`, Code.Internal);
    return validateResponse(methodKind, true, Number(status), header).unaryError;
  } catch (error) {
    cut(stream);
    throw error;
  }
}

function canceled(signal: AbortSignal): ConnectError {
  return ConnectError.from(signal.reason, Code.Canceled);
}
