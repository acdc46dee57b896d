import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { contentTypeStreamProto, contentTypeUnaryProto } from "@connectrpc/connect/protocol-connect";
import { contentTypeProto } from "@connectrpc/connect/protocol-grpc";
import type { Rpc } from "./rpc.ts";
import { serveGrpc } from "./serve-grpc.ts";
import { serveStream } from "./serve-stream.ts";
import { serveUnary } from "./serve-unary.ts";

/** A request of whichever HTTP version. */
interface Asked {
  readonly httpVersionMajor: number;
  readonly headers: Readonly<Record<string, unknown>>;
}

/**
 * Answer over HTTP/2 what our own clients send, Connect's binary messages, and gRPC calls of one message, uncompressed and without a deadline, without
 * connect-node: its pipeline of some ten asynchronous iterators costs 0.3 ms for each round trip of a channel that is used now and then, and most of a
 * short call. `undefined` for everything else, which is left to connect-node: gRPC's streams, gRPC-web, JSON, HTTP/1.1, and browsers, whose answers have
 * headers that were set before.
 */
export function servePlain(request: Asked, response: unknown, rpc: Rpc): Promise<void> | undefined {
  const { headers } = request;
  if (headers["origin"] !== undefined || request.httpVersionMajor !== 2 || headers[":method"] !== "POST") return undefined;
  const serve = serverFor(headers, rpc.method.methodKind === "unary");
  return serve?.(request as Http2ServerRequest, response as Http2ServerResponse, rpc);
}

function serverFor(headers: Asked["headers"], isUnary: boolean): typeof serveUnary | undefined {
  const isPlain = (deadline: string, encoding: string): boolean =>
    headers[deadline] === undefined && (headers[encoding] ?? "identity") === "identity";
  switch (headers["content-type"]) {
    case contentTypeUnaryProto:
      return isUnary && isPlain("connect-timeout-ms", "content-encoding") ? serveUnary : undefined;
    case contentTypeStreamProto:
      return !isUnary && isPlain("connect-timeout-ms", "connect-content-encoding") ? serveStream : undefined;
    case "application/grpc":
    case contentTypeProto:
      return isUnary && isPlain("grpc-timeout", "grpc-encoding") ? serveGrpc : undefined;
    default:
      return undefined;
  }
}
