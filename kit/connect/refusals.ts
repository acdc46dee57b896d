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
import type { Explain } from "./rpc.ts";

/** `/package.Service/Method`. */
const RPC_PATH = /^\/(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*\/[A-Za-z_]\w*$/;
const GRPC = /^application\/grpc(?:\+[\w.-]+)?$/;
const GRPC_WEB = /^application\/grpc-web(?:\+[\w.-]+)?$/;
/** A call of one message by Connect, or one that tells nothing of itself. */
const CONNECT = /^(?:application\/[\w.+-]+)?$/;
/** An explanation for whoever speaks none of the protocols, RFC 9457. */
const PROBLEM = "application/problem+json";
const CONNECT_STREAM = /^application\/connect\+[\w.-]+$/;

const UNARY_TYPES = "application/json or application/proto, or those of gRPC and gRPC-web";
const STREAM_TYPES = "application/connect+json or application/connect+proto, or those of gRPC and gRPC-web: it is a stream";

const endStream = createEndStreamSerialization(undefined);

/** UNIMPLEMENTED `unknown_rpc` for an RPC that is not there, of whichever protocol and kind; `undefined` for what is no RPC. */
export function refuseUnknown(path: string, contentType: string | undefined, explain: Explain): UniversalServerResponse | undefined {
  const error = new HarnessError(Code.Unimplemented, "unknown_rpc", `${path} is no RPC of this service: ask its reflection`);
  const answer = refuse(path, contentType, explain(toConnectError(error)));
  // Whoever reads the status of HTTP gets HTTP's own for a path that is missing.
  if (answer !== undefined && answer.status !== 200) answer.status = 404;
  return answer;
}

/** An error in place of an RPC's answer, of whichever protocol and kind; `undefined` for what is no RPC. */
export function refuseCall(path: string, contentType: string | undefined, error: HarnessError): UniversalServerResponse | undefined {
  return refuse(path, contentType, toConnectError(error));
}

function refuse(path: string, contentType: string | undefined, error: ConnectError): UniversalServerResponse | undefined {
  const type = essenceOf(contentType);
  const isRpc = RPC_PATH.test(path) || GRPC.test(type) || GRPC_WEB.test(type) || CONNECT_STREAM.test(type);
  return isRpc ? refusal(error, type) : undefined;
}

/** A request of which not even the address can be read. */
export function refuseMalformed(): UniversalServerResponse {
  const message = "the request can't be read: its Host header, or its path, is not well formed";
  return refusal(toConnectError(new HarnessError(Code.InvalidArgument, "malformed_request", message)), "");
}

/**
 * Write an error into an answer without a body, by which connect-node says that a request is of a wrong kind. gRPC has a form of its own for it;
 * of other answers status and headers stay.
 */
export function explainBare(
  answer: UniversalServerResponse,
  method: DescMethod,
  contentType: string | undefined,
  explain: Explain,
): UniversalServerResponse {
  const why = answer.body === undefined ? reasonOf(answer.status, method) : undefined;
  if (why === undefined) return answer;
  const error = explain(toConnectError(why));
  const type = essenceOf(contentType);
  if (GRPC.test(type) || GRPC_WEB.test(type)) return refusal(error, type);
  const header = new Headers(answer.header);
  if (answer.status === 405) header.set("allow", "POST");
  const told = json(error, answer.status, header);
  if (!CONNECT.test(type)) header.set("content-type", PROBLEM);
  return told;
}

/** Connect knows no code for these statuses of HTTP, so its clients take them for UNKNOWN. */
function reasonOf(status: number, { name, methodKind }: DescMethod): HarnessError | undefined {
  const types = methodKind === "unary" ? UNARY_TYPES : STREAM_TYPES;
  if (status === 405) return new HarnessError(Code.Unknown, "method_not_allowed", `${name} is called by POST`);
  if (status === 415) return new HarnessError(Code.Unknown, "unsupported_content_type", `${name} takes the content type ${types}`);
  if (status === 505)
    return new HarnessError(Code.Unimplemented, "http2_needed", `${name} streams in both directions: call it over HTTP/2`);
  return undefined;
}

/** A content type without its parameters. */
function essenceOf(contentType = ""): string {
  return contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** An error in the form of the protocol that a content type belongs to. */
function refusal(connect: ConnectError, type: string): UniversalServerResponse {
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
