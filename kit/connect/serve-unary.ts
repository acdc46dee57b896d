import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { mergeNonProtocolHeaders } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  contentTypeUnaryJson,
  contentTypeUnaryProto,
  errorToJsonBytes,
  trailerMux,
} from "@connectrpc/connect/protocol-connect";
import { Pieces } from "./pieces.ts";
import { CALL_OVER, CLIENT_LEFT, contextOf, invoke, onRequestEnd, parse, type Rpc, replaceHeaders } from "./rpc.ts";

/** Answer a call of one message with one. */
export async function serveUnary(request: Http2ServerRequest, response: Http2ServerResponse, rpc: Rpc): Promise<void> {
  const { stream } = response;
  const context = contextOf(request, rpc.method);
  stream.on("error", () => undefined);
  stream.once("close", () => context.abort(CLIENT_LEFT));
  let body: Uint8Array;
  let status = 200;
  context.responseHeader.set("content-type", contentTypeUnaryProto);
  try {
    if (rpc.requestGate !== undefined) await rpc.requestGate(context);
    const input = parse(rpc.method.input, await readAll(stream, rpc.readMaxBytes));
    const { message, trailer } = await invoke(rpc, context, input);
    replaceHeaders(context.responseTrailer, trailer);
    body = toBinary(rpc.method.output, create(rpc.method.output, message as MessageInitShape<DescMessage>));
  } catch (thrown) {
    const error = rpc.explain(ConnectError.from(thrown, Code.Internal));
    status = codeToHttpStatus(error.code);
    context.responseHeader.set("content-type", contentTypeUnaryJson);
    // One that came from another service has that one's headers: they are not passed on.
    if (!error.isWireError) mergeNonProtocolHeaders(context.responseHeader, error.metadata);
    body = errorToJsonBytes(error, undefined);
  }
  context.abort(CALL_OVER);
  if (stream.destroyed || stream.closed) return;
  const header = trailerMux(context.responseHeader, context.responseTrailer);
  stream.respond({ ":status": status, ...Object.fromEntries(header), "content-length": body.length });
  stream.end(body);
}

/** The request's body. RESOURCE_EXHAUSTED if it is larger than `maxBytes`, CANCELED if the client leaves within it. */
function readAll(stream: ServerHttp2Stream, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const pieces = new Pieces();
    let size = 0;
    stream.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) pieces.push(chunk);
      else {
        pieces.clear();
        reject(new ConnectError(`the message is larger than ${maxBytes} bytes, the limit`, Code.ResourceExhausted));
      }
    });
    onRequestEnd(stream, (isWhole) => {
      if (!isWhole) reject(CLIENT_LEFT);
      else resolve(pieces.joined());
    });
    stream.once("close", () => reject(CLIENT_LEFT));
  });
}
