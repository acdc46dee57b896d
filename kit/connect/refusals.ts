import type { DescMethod } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  contentTypeUnaryJson,
  createEndStreamSerialization,
  endStreamFlag,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { HarnessError, toConnectError } from "../errors.ts";
import { enveloped } from "./envelope.ts";

/** `/package.Service/Method`. */
const RPC_PATH = /^\/(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*\/[A-Za-z_]\w*$/;
const GRPC = /^application\/grpc(?:\+[\w.-]+)?$/;
const GRPC_WEB = /^application\/grpc-web(?:\+[\w.-]+)?$/;
const CONNECT_STREAM = /^application\/connect\+[\w.-]+$/;

const UNARY_TYPES = "application/json or application/proto, or those of gRPC and gRPC-web";
const STREAM_TYPES = "application/connect+json or application/connect+proto, or those of gRPC and gRPC-web: it is a stream";

const endStream = createEndStreamSerialization(undefined);

/** UNIMPLEMENTED `unknown_rpc` for an RPC that is not there, of whichever protocol and kind; `undefined` for what is no RPC. */
export function refuseUnknown(path: string, contentType?: string): UniversalServerResponse | undefined {
  return refuseCall(
    path,
    contentType,
    new HarnessError(Code.Unimplemented, "unknown_rpc", `${path} is no RPC of this service: ask its reflection`),
  );
}

/** An error in place of an RPC's answer, of whichever protocol and kind; `undefined` for what is no RPC. */
export function refuseCall(path: string, contentType: string | undefined, error: HarnessError): UniversalServerResponse | undefined {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const isRpc = RPC_PATH.test(path) || GRPC.test(type) || GRPC_WEB.test(type) || CONNECT_STREAM.test(type);
  return isRpc ? refusal(error, type) : undefined;
}

/** A request of which not even the address can be read. */
export function refuseMalformed(): UniversalServerResponse {
  const message = "the request can't be read: its Host header, or its path, is not well formed";
  return refusal(new HarnessError(Code.InvalidArgument, "malformed_request", message), "");
}

/** Write an error into an answer without a body, by which connect-node says that a request is of a wrong kind; its status and headers stay. */
export function explainBare(answer: UniversalServerResponse, method: DescMethod): UniversalServerResponse {
  const why = answer.body === undefined ? reasonOf(answer.status, method) : undefined;
  if (why === undefined) return answer;
  const header = new Headers(answer.header);
  if (answer.status === 405) header.set("allow", "POST");
  return json(toConnectError(why), answer.status, header);
}

function reasonOf(status: number, { name, methodKind }: DescMethod): HarnessError | undefined {
  const types = methodKind === "unary" ? UNARY_TYPES : STREAM_TYPES;
  if (status === 405) return new HarnessError(Code.Unimplemented, "method_not_allowed", `${name} is called by POST`);
  if (status === 415) return new HarnessError(Code.InvalidArgument, "unsupported_content_type", `${name} takes the content type ${types}`);
  if (status === 505)
    return new HarnessError(Code.Unimplemented, "http2_needed", `${name} streams in both directions: call it over HTTP/2`);
  return undefined;
}

/** An error in the form of the protocol that a content type belongs to. */
function refusal(error: HarnessError, type: string): UniversalServerResponse {
  const connect = toConnectError(error);
  const header = new Headers({ "content-type": type });
  if (GRPC.test(type)) return { status: 200, header, body: pieces(), trailer: setTrailerStatus(new Headers(), connect) };
  if (GRPC_WEB.test(type)) {
    return { status: 200, header, body: pieces(enveloped(trailerFlag, trailerSerialize(setTrailerStatus(new Headers(), connect)))) };
  }
  if (CONNECT_STREAM.test(type)) {
    return {
      status: 200,
      header,
      body: pieces(enveloped(endStreamFlag, endStream.serialize({ metadata: new Headers(), error: connect }))),
    };
  }
  return json(connect, codeToHttpStatus(connect.code), new Headers());
}

function json(error: ConnectError, status: number, header: Headers): UniversalServerResponse {
  const bytes = errorToJsonBytes(error, undefined);
  header.set("content-type", contentTypeUnaryJson);
  header.set("content-length", String(bytes.length));
  return { status, header, body: pieces(bytes) };
}

async function* pieces(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
