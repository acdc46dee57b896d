import { type ClientHttp2Stream, constants } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { appendHeaders, Code, ConnectError, type UnaryResponse } from "@connectrpc/connect";
import { contentTypeUnaryProto, errorFromJsonBytes, trailerDemux } from "@connectrpc/connect/protocol-connect";
import type { Connection } from "../connection.ts";
import { begin, broken, type Call, checkHead, cut, responseOf } from "./call.ts";
import { Pieces } from "./pieces.ts";
import { headersOf } from "./rpc.ts";

/** A call of one message that is answered with one. */
export interface UnaryCall<I extends DescMessage, O extends DescMessage> extends Call<I, O> {
  readonly method: DescMethodUnary<I, O>;
  readonly message: MessageInitShape<I>;
}

/** Make the call by Connect's protocol without connect-node, see {@link servePlain}. Rejects with ConnectErrors. */
export async function callUnary<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  call: UnaryCall<I, O>,
): Promise<UnaryResponse<I, O>> {
  const { method, signal } = call;
  const body = toBinary(method.input, create(method.input, call.message) as MessageShape<I>);
  const stream = await begin(connection, call, contentTypeUnaryProto);
  const answered = responseOf(stream, signal);
  const answer = readAll(stream, call);
  // It may be that nobody asks for it.
  answer.catch(() => undefined);
  stream.end(body);
  const incoming = await answered;
  const [header, trailer] = trailerDemux(headersOf(incoming));
  const failure = checkHead(stream, method, incoming[":status"], header);
  const bytes = await answer;
  // A reset without an error looks like an end: only the length tells that something is missing.
  const promised = incoming["content-length"];
  if (promised !== undefined && Number(promised) !== bytes.length) throw broken(stream, signal);
  if (failure !== undefined) throw errorFromJsonBytes(bytes, appendHeaders(header, trailer), failure);
  return { stream: false, service: method.parent, method, header, trailer, message: parse(method.output, bytes) };
}

function parse<O extends DescMessage>(schema: O, bytes: Uint8Array): MessageShape<O> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw ConnectError.from(error, Code.Internal);
  }
}

function readAll<I extends DescMessage, O extends DescMessage>(
  stream: ClientHttp2Stream,
  { signal, readMaxBytes }: UnaryCall<I, O>,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const pieces = new Pieces();
    let isWhole = false;
    stream.on("data", (chunk: Buffer) => {
      pieces.push(chunk);
      if (pieces.size <= readMaxBytes) return;
      reject(new ConnectError(`the answer is larger than ${readMaxBytes} bytes, the limit`, Code.ResourceExhausted));
      cut(stream);
    });
    stream.once("end", () => {
      isWhole = true;
    });
    // A stream that was cut ends as well; only its close tells.
    stream.once("close", () => {
      if (isWhole && stream.rstCode === constants.NGHTTP2_NO_ERROR && stream.errored === null) resolve(pieces.joined());
      else reject(broken(stream, signal));
    });
  });
}
