import { once } from "node:events";
import * as http2 from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";

const PREFIX = 5;

/** Calls unary RPCs by the gRPC protocol over one connection, with as little of a client as can be: what is measured is the service. */
export class GrpcCaller {
  readonly #session: http2.ClientHttp2Session;
  readonly #token: string;

  static async open(origin: string, token: string): Promise<GrpcCaller> {
    const session = http2.connect(origin);
    await once(session, "connect");
    return new GrpcCaller(session, token);
  }

  private constructor(session: http2.ClientHttp2Session, token: string) {
    this.#session = session;
    this.#token = token;
  }

  /** Throws if the call's status is not OK. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const message = toBinary(method.input, create(method.input, request));
    const frame = Buffer.alloc(PREFIX + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, PREFIX);
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/${method.parent.typeName}/${method.name}`,
      "content-type": "application/grpc",
      authorization: `Bearer ${this.#token}`,
      te: "trailers",
    });
    stream.end(frame);
    const pieces: Buffer[] = [];
    let status: unknown;
    const take = (headers: http2.IncomingHttpHeaders): void => {
      status = headers["grpc-status"] ?? status;
    };
    stream.on("response", take).on("trailers", take);
    for await (const piece of stream) pieces.push(piece as Buffer);
    if (status !== "0") throw new Error(`${method.name} was answered with gRPC status ${status}`);
    return fromBinary(method.output, Buffer.concat(pieces).subarray(PREFIX));
  }

  close(): void {
    this.#session.close();
  }
}
