import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { contentTypeStreamProto, createEndStreamSerialization } from "@connectrpc/connect/protocol-connect";
import { clientFault } from "../client-fault.ts";
import { Inbox, Outlet, sendAll } from "./duplex.ts";
import { COMPRESSED_FLAG, END_FLAG, EnvelopeReader } from "./envelope.ts";
import { CALL_OVER, CLIENT_LEFT, contextOf, invoke, onRequestEnd, parse, type Rpc, replaceHeaders } from "./rpc.ts";

const endStream = createEndStreamSerialization(undefined);

/** Answer a stream in one or both directions. */
export async function serveStream(request: Http2ServerRequest, response: Http2ServerResponse, rpc: Rpc): Promise<void> {
  const { stream } = response;
  // Reset right after its headers.
  if (stream.destroyed || stream.closed) return;
  const inbox = new Inbox<MessageShape<DescMessage>>(stream);
  const context = contextOf(request, rpc.method);
  context.responseHeader.set("content-type", contentTypeStreamProto);
  stream.on("error", () => undefined);
  let answered = false;
  stream.once("close", () => {
    // Whoever waits for the client learns that it is gone. The stream's own state does not tell: a reset ends it too.
    if (!answered) context.abort(CLIENT_LEFT);
    inbox.end(CLIENT_LEFT);
  });
  // The handler's own headers are known with its first message.
  const outlet = new Outlet(stream, () => {
    if (!stream.closed) stream.respond({ ":status": 200, ...Object.fromEntries(context.responseHeader) });
  });
  let failure: unknown;
  try {
    if (rpc.requestGate !== undefined) await rpc.requestGate(context);
    receive(stream, inbox, rpc);
    const { message, trailer } = await invoke(rpc, context, inbox);
    await sendAll(stream, outlet, rpc.method.output, message as AsyncIterable<MessageShape<DescMessage>>, rpc.encoder);
    replaceHeaders(context.responseTrailer, trailer);
  } catch (error) {
    failure = error;
  }
  context.abort(failure ?? CALL_OVER);
  if (stream.destroyed || stream.writableEnded) return;
  const error = failure === undefined ? {} : { error: rpc.explain(ConnectError.from(failure, Code.Internal)) };
  outlet.write(END_FLAG, endStream.serialize({ metadata: context.responseTrailer, ...error }));
  answered = true;
  outlet.end();
}

function receive(stream: ServerHttp2Stream, inbox: Inbox<MessageShape<DescMessage>>, { method, readMaxBytes }: Rpc): void {
  const reader = new EnvelopeReader(readMaxBytes);
  stream.on("data", (chunk: Buffer) => {
    try {
      for (const { flags, data } of reader.push(chunk)) {
        if (flags === COMPRESSED_FLAG) throw new ConnectError("a message is compressed, and no compression was agreed on", Code.Internal);
        if (flags !== 0) throw new ConnectError(`an envelope with flags ${flags} is no message`, Code.InvalidArgument);
        inbox.push(parse(method.input, data), data.length);
      }
    } catch (error) {
      stream.removeAllListeners("data");
      stream.resume();
      inbox.end(clientFault(error));
    }
  });
  onRequestEnd(stream, (isWhole) => {
    if (!isWhole) return inbox.end(CLIENT_LEFT);
    const torn = reader.isPartial ? new ConnectError("the stream ended within a message", Code.InvalidArgument) : undefined;
    inbox.end(torn);
  });
}
