import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  contentTypeUnaryJson,
  createEndStreamSerialization,
  endStreamFlag,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { enveloped } from "./envelope.ts";
import type { Explain } from "./rpc.ts";

const HEADER_BYTES = 5;
const endStream = createEndStreamSerialization(undefined);

/**
 * An answer of connect-node's, whose error carries a `google.rpc.ErrorInfo` too if it was made before any interceptor ran: as the message could not be
 * read. Such an error can only be met as it is written down, in the way of each protocol. `wasCalled` tells, at the answer's end, whether an interceptor
 * ran: a message of bytes that can't be read is INTERNAL for connect-node, and the client's fault all the same.
 */
export function explained(answer: UniversalServerResponse, wasCalled: () => boolean, complete: Explain): UniversalServerResponse {
  const { body, header, trailer } = answer;
  const type = header?.get("content-type") ?? "";
  if (body === undefined) return answer;
  const explain: Explain = (error) => complete(asOurs(error, wasCalled()));
  if (type.startsWith("application/grpc-web"))
    return { ...answer, body: rewritten(body, trailerFlag, (data) => explainTrailers(data, explain)) };
  if (type.startsWith("application/grpc") && trailer !== undefined)
    return { ...answer, body: before(body, () => explainStatus(trailer, explain)) };
  if (type.startsWith("application/connect+"))
    return { ...answer, body: rewritten(body, endStreamFlag, (data) => explainEnd(data, explain)) };
  if (answer.status !== 200 && type === contentTypeUnaryJson) return explainedJson(answer, body, explain);
  return answer;
}

/** Do something once a body has come to its end, before whoever reads it learns of that. */
async function* before(body: AsyncIterable<Uint8Array>, end: () => void): AsyncGenerator<Uint8Array> {
  yield* body;
  end();
}

/** Rewrite the envelopes that carry a flag. connect-node makes each a chunk of its own. */
async function* rewritten(
  body: AsyncIterable<Uint8Array>,
  flag: number,
  rewrite: (data: Uint8Array) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    if (chunk[0] !== flag) yield chunk;
    else yield enveloped(flag, rewrite(chunk.subarray(HEADER_BYTES)));
  }
}

function explainStatus(trailer: Headers, explain: Explain): void {
  const error = findTrailerError(trailer);
  if (error !== undefined) setTrailerStatus(trailer, explain(error));
}

function explainTrailers(data: Uint8Array, explain: Explain): Uint8Array {
  const trailer = trailerParse(data);
  explainStatus(trailer, explain);
  return trailerSerialize(trailer);
}

function explainEnd(data: Uint8Array, explain: Explain): Uint8Array {
  const { metadata, error } = endStream.parse(data);
  return endStream.serialize({ metadata, ...(error === undefined ? {} : { error: explain(error) }) });
}

/** Status and headers are written with the first piece of the body, so they may still change until then. */
function explainedJson(answer: UniversalServerResponse, body: AsyncIterable<Uint8Array>, explain: Explain): UniversalServerResponse {
  const rewritten: UniversalServerResponse = { ...answer, body: whole() };
  return rewritten;

  async function* whole(): AsyncGenerator<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const told = errorFromJsonBytes(Buffer.concat(chunks), undefined, new ConnectError("error", Code.Unknown));
    const error = explain(told);
    const bytes = errorToJsonBytes(error, undefined);
    if (error.code !== told.code) rewritten.status = codeToHttpStatus(error.code);
    answer.header?.set("content-length", String(bytes.length));
    yield bytes;
  }
}

/** A message could not be read. That is INTERNAL for connect-node, as what else goes wrong, and the client's fault all the same. */
export function isUnreadable({ code, rawMessage }: ConnectError): boolean {
  return code === Code.Internal && rawMessage.startsWith("parse binary: ");
}

/** It was read back from what we write ourselves. Its metadata are written already. */
function asOurs(error: ConnectError, wasCalled: boolean): ConnectError {
  const ours = new ConnectError(error.rawMessage, !wasCalled && isUnreadable(error) ? Code.InvalidArgument : error.code);
  ours.details = error.details;
  return ours;
}
