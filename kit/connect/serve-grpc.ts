import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import { create, type DescMessage, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { contentTypeProto, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { COMPRESSED_FLAG, EnvelopeReader, enveloped } from "./envelope.ts";
import { CALL_OVER, CLIENT_LEFT, contextOf, invoke, onRequestEnd, parse, type Rpc, replaceHeaders } from "./rpc.ts";

/** Answer a gRPC call of one message with one. */
export async function serveGrpc(request: Http2ServerRequest, response: Http2ServerResponse, rpc: Rpc): Promise<void> {
  const { stream } = response;
  const context = contextOf(request, rpc.method, "grpc");
  stream.on("error", () => undefined);
  stream.once("close", () => context.abort(CLIENT_LEFT));
  let answer: Uint8Array | undefined;
  let failure: ConnectError | undefined;
  try {
    if (rpc.requestGate !== undefined) await rpc.requestGate(context);
    const { message, trailer } = await invoke(rpc, context, await readOne(stream, rpc));
    replaceHeaders(context.responseTrailer, trailer);
    answer = toBinary(rpc.method.output, create(rpc.method.output, message as MessageInitShape<DescMessage>));
  } catch (thrown) {
    failure = rpc.explain(ConnectError.from(thrown, Code.Internal));
  }
  context.abort(CALL_OVER);
  if (stream.destroyed || stream.closed) return;
  // The response sends them when the stream wants its trailers.
  response.addTrailers(Object.fromEntries(setTrailerStatus(context.responseTrailer, failure)));
  stream.respond(
    { ":status": 200, "content-type": contentTypeProto, ...Object.fromEntries(context.responseHeader) },
    { waitForTrailers: true },
  );
  if (answer === undefined) stream.end();
  else stream.end(enveloped(0, answer));
}

/** The one message of a request. */
function readOne(stream: ServerHttp2Stream, { method, readMaxBytes }: Rpc): Promise<MessageShape<DescMessage>> {
  return new Promise((resolve, reject) => {
    const reader = new EnvelopeReader(readMaxBytes);
    let message: MessageShape<DescMessage> | undefined;
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const { flags, data } of reader.push(chunk)) {
          if (flags === COMPRESSED_FLAG)
            throw new ConnectError("protocol error: a compressed message without grpc-encoding", Code.Internal);
          if (flags !== 0) throw new ConnectError(`an envelope with flags ${flags} is no message`, Code.InvalidArgument);
          if (message !== undefined) throw new ConnectError("protocol error: this method takes one message", Code.Unimplemented);
          message = parse(method.input, data);
        }
      } catch (error) {
        stream.removeAllListeners("data");
        stream.resume();
        reject(error);
      }
    });
    onRequestEnd(stream, (isWhole) => {
      if (!isWhole) reject(CLIENT_LEFT);
      else if (reader.isPartial) reject(new ConnectError("the request ended within a message", Code.InvalidArgument));
      else if (message === undefined)
        reject(new ConnectError("protocol error: this method takes a message, none came", Code.Unimplemented));
      else resolve(message);
    });
    stream.once("close", () => reject(CLIENT_LEFT));
  });
}
