import { type ClientHttp2Stream, constants } from "node:http2";
import { type DescMessage, type DescMethodStreaming, fromBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse } from "@connectrpc/connect";
import { contentTypeStreamProto, endStreamFromJson } from "@connectrpc/connect/protocol-connect";
import type { Connection } from "../connection.ts";
import { begin, broken, type Call, checkHead, cut, responseOf } from "./call.ts";
import { Inbox, Outlet, sendAll } from "./duplex.ts";
import { END_FLAG, EnvelopeReader } from "./envelope.ts";
import { headersOf } from "./rpc.ts";

/** How long the other end may take to close a stream after the last envelope, in milliseconds. */
const LINGER_MS = 1000;

/** A call of a stream in one or both directions. */
export interface StreamCall<I extends DescMessage, O extends DescMessage> extends Call<I, O> {
  readonly method: DescMethodStreaming<I, O>;
  readonly input: AsyncIterable<MessageInitShape<I>>;
}

/**
 * Call a stream by Connect's protocol without connect-node, see {@link servePlain}. Rejects, or throws from the messages, ConnectErrors:
 * `unavailable` if the connection broke.
 */
export async function callStream<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  call: StreamCall<I, O>,
): Promise<StreamResponse<I, O>> {
  const { method, signal } = call;
  const stream = await begin(connection, call, contentTypeStreamProto);
  const inbox = new Inbox<MessageShape<O>>(stream, signal);
  const trailer = new Headers();
  receive(stream, inbox, trailer, call);
  const answered = responseOf(stream, signal);
  send(stream, inbox, call);
  const incoming = await answered;
  const header = headersOf(incoming);
  checkHead(stream, method, incoming[":status"], header);
  return { stream: true, service: method.parent, method, header, trailer, message: inbox };
}

function send<I extends DescMessage, O extends DescMessage>(
  stream: ClientHttp2Stream,
  inbox: Inbox<MessageShape<O>>,
  { method, input }: StreamCall<I, O>,
): void {
  const outlet = new Outlet(stream);
  sendAll(stream, outlet, method.input, input).then(
    () => outlet.end(),
    (error: unknown) => {
      // What the caller's own messages threw is what it learns, also in front of the answer.
      const why = ConnectError.from(error, Code.Internal);
      inbox.end(why);
      cut(stream, why);
    },
  );
}

function receive<I extends DescMessage, O extends DescMessage>(
  stream: ClientHttp2Stream,
  inbox: Inbox<MessageShape<O>>,
  trailer: Headers,
  { method, signal, readMaxBytes }: StreamCall<I, O>,
): void {
  const reader = new EnvelopeReader(readMaxBytes);
  stream.on("data", (chunk: Buffer) => {
    try {
      const envelopes = reader.push(chunk);
      for (const [i, { flags, data }] of envelopes.entries()) {
        if (flags === 0) inbox.push(fromBinary(method.output, data), data.length);
        else if (flags !== END_FLAG) throw new ConnectError(`an envelope with flags ${flags} is no message`, Code.Internal);
        else if (i < envelopes.length - 1 || reader.isPartial) throw new ConnectError("the answer goes on behind its end", Code.Internal);
        else {
          inbox.end(takeEnd(data, trailer));
          cutLater(stream);
          stream.removeAllListeners("data").resume();
        }
      }
    } catch (error) {
      inbox.end(ConnectError.from(error, Code.Internal));
      cut(stream);
    }
  });
  // A stream that was cut ends as well, destroyed. One that the server closed itself is wrong, and would be no better if it were called again.
  stream.once("end", () => {
    if (!stream.destroyed && stream.rstCode === constants.NGHTTP2_NO_ERROR)
      inbox.end(new ConnectError("the answer stopped before its end", Code.Internal));
  });
  stream.once("close", () => inbox.end(broken(stream, signal)));
}

/** The answer came to its end, so what is left of the stream, as a request that goes on, is of no use to anybody. */
function cutLater(stream: ClientHttp2Stream): void {
  // Not at once: most streams end by themselves now, and a server takes a client that resets many for an attacker.
  const timer = setTimeout(() => cut(stream), LINGER_MS);
  stream.once("close", () => clearTimeout(timer));
}

function takeEnd(data: Uint8Array, trailer: Headers): ConnectError | undefined {
  const { metadata, error } = endStreamFromJson(data);
  for (const [name, value] of metadata) trailer.append(name, value);
  return error;
}
