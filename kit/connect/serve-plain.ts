import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { contentTypeStreamProto, contentTypeUnaryProto } from "@connectrpc/connect/protocol-connect";
import type { Rpc } from "./rpc.ts";
import { serveStream } from "./serve-stream.ts";
import { serveUnary } from "./serve-unary.ts";

/** A request of whichever HTTP version. */
interface Asked {
  readonly httpVersionMajor: number;
  readonly headers: Readonly<Record<string, unknown>>;
}

/**
 * Answer what our own clients send, Connect's binary messages over HTTP/2, uncompressed and without a deadline, without connect-node: its
 * pipeline of some ten asynchronous iterators costs 0.3 ms for each round trip of a channel that is used now and then. `undefined` for
 * everything else, which is left to connect-node: gRPC, gRPC-web, JSON, HTTP/1.1, and browsers, whose answers have headers that were set before.
 */
export function servePlain(request: Asked, response: unknown, rpc: Rpc): Promise<void> | undefined {
  const { headers } = request;
  if (
    headers["origin"] !== undefined ||
    request.httpVersionMajor !== 2 ||
    headers[":method"] !== "POST" ||
    headers["connect-timeout-ms"] !== undefined
  )
    return undefined;
  const kind = rpc.method.methodKind;
  const [serve, type, encoding] =
    kind === "unary"
      ? [serveUnary, contentTypeUnaryProto, headers["content-encoding"]]
      : [serveStream, contentTypeStreamProto, headers["connect-content-encoding"]];
  if (headers["content-type"] !== type || (encoding ?? "identity") !== "identity") return undefined;
  return serve(request as Http2ServerRequest, response as Http2ServerResponse, rpc);
}
