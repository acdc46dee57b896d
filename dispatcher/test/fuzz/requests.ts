import { type DescMessage, type DescMethod, type DescService, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { runBody } from "./envelopes.ts";
import { message } from "./messages.ts";
import { type Ids, planted, type Tree } from "./plants.ts";
import { text } from "./texts.ts";

/** A request before ids are put into it. */
export interface Request {
  readonly version: 1 | 2;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Body;
}

/** `as`: the name of the schema by which it becomes bytes, if it fits that schema. `frame`: put it into an envelope, as messages of a stream are. */
export interface Body {
  readonly tree: Tree;
  readonly as?: string;
  readonly frame?: Frame;
  /** Sent in place of the tree. */
  readonly raw?: string;
}

const FRAMES = ["whole", "whole", "whole", "longer", "shorter", "cut", "compressed", "end", "odd flag", "twice", "giant", "empty"] as const;
type Frame = (typeof FRAMES)[number];

/** A request as it is sent. */
export interface Wire {
  readonly version: 1 | 2;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Put ids into a request, and write it down. */
export function wireOf(request: Request, ids: Ids, schemas: ReadonlyMap<string, DescMessage>): Wire {
  const { version, method, path, query, headers, body } = planted(request, ids);
  const segments = path.split("/").map(escaped).join("/");
  const search = Object.entries(query).map(([name, value]) => `${name}=${escaped(value)}`);
  const bytes = body.raw === undefined ? (inBytes(body, schemas) ?? Buffer.from(JSON.stringify(body.tree))) : Buffer.from(body.raw);
  return {
    version,
    method,
    path: search.length === 0 ? segments : `${segments}?${search.join("&")}`,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.replace(/[^\x20-\x7e]/g, "?").trim()])),
    body: body.frame === undefined ? bytes : framed(bytes, body.frame),
  };
}

function escaped(part: string): string {
  return encodeURIComponent(part.toWellFormed());
}

/** What is no message by its schema is sent as a few bytes that are none. */
function inBytes({ tree, as }: Body, schemas: ReadonlyMap<string, DescMessage>): Buffer | undefined {
  const schema = schemas.get(as ?? "");
  if (schema === undefined) return undefined;
  try {
    return Buffer.from(toBinary(schema, fromJson(schema, tree as JsonValue, { ignoreUnknownFields: true })));
  } catch {
    return Buffer.from('{"no": "bytes"}');
  }
}

function framed(bytes: Buffer, frame: Frame): Buffer {
  const flags = { compressed: 1, end: 2, "odd flag": 0xd4 }[frame as string] ?? 0;
  const lengths: Partial<Record<Frame, number>> = { longer: bytes.length + 9, shorter: Math.max(0, bytes.length - 3), giant: 0xffffffff };
  const header = Buffer.alloc(5);
  header[0] = flags;
  header.writeUInt32BE(lengths[frame] ?? bytes.length, 1);
  if (frame === "empty") return Buffer.alloc(0);
  if (frame === "cut") return header.subarray(0, 3);
  return Buffer.concat(frame === "twice" ? [header, bytes, header, bytes] : [header, bytes]);
}

/** Every RPC of these services and every path, by every protocol, well formed and not. */
export function requests(services: readonly DescService[], paths: readonly string[]): fc.Arbitrary<Request> {
  const methods = services.flatMap((service) => service.methods);
  return fc.oneof({ arbitrary: fc.oneof(...methods.map(call)), weight: 3 }, { arbitrary: fc.oneof(...paths.map(plain)), weight: 2 });
}

const UNARY = ["application/json", "application/json", "application/proto", "", "application/json; charset=utf-8"];
const ENVELOPED = [
  "application/grpc",
  "application/grpc+proto",
  "application/grpc+json",
  "application/grpc-web",
  "application/grpc-web+proto",
  "application/grpc-web+json",
  "application/connect+json",
  "application/connect+proto",
];
const WRONG = [
  "text/plain",
  "application/grpc-web-text",
  "multipart/form-data; boundary=x",
  "application/x-www-form-urlencoded",
  "a",
  "application/grpc+xml",
];

/** Bodies that are no JSON, or none that anybody means. */
const broken = fc.constantFrom(
  "",
  "{",
  '{"leafId":',
  "null",
  "[]",
  "7",
  '"p"',
  "\ufeff{}",
  '{"prompt":"\\ud800"}',
  '{"a":1,"a":2}',
  `${"[".repeat(5000)}${"]".repeat(5000)}`,
  `{"spec":${'{"a":'.repeat(2000)}1${"}".repeat(2000)}}`,
  '{"__proto__":{"tenant":"x"},"constructor":1}',
  '{"leafId":1e999}',
  "\0\0\0\0",
);

function call(method: DescMethod): fc.Arbitrary<Request> {
  const streams = method.methodKind !== "unary";
  const usual = streams ? ENVELOPED : [...UNARY, ...ENVELOPED];
  const type = fc.oneof({ arbitrary: fc.constantFrom(...usual), weight: 9 }, { arbitrary: fc.constantFrom(...UNARY, ...WRONG), weight: 1 });
  return fc
    .tuple(type, message(method.input), fc.constantFrom(...FRAMES), seldom(broken, 12), noise, version, verb("POST"))
    .map(([contentType, tree, frame, raw, headers, http, method_]) => ({
      version: http,
      method: method_,
      path: `/${method.parent.typeName}/${method.name}`,
      query: {},
      headers: { ...(contentType === "" ? {} : { "content-type": contentType }), te: "trailers", ...headers },
      body: {
        tree,
        ...(contentType.includes("json") || contentType === "" ? {} : { as: method.input.typeName }),
        ...(ENVELOPED.includes(contentType) ? { frame } : {}),
        ...(raw === undefined ? {} : { raw }),
      },
    }));
}

const QUERIES = ["sessionId", "tenant", "doneMarker", "gateMarker", "after_seq", "afterSeq", "x"];

function plain(path: string): fc.Arbitrary<Request> {
  const takesBody = /^\/(?:turn|runs|run-leaf|wake)$/.test(path);
  const query = fc
    .subarray(QUERIES, { maxLength: 3 })
    .chain((names) => fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), text(name)))).map((pairs) => Object.fromEntries(pairs)));
  const body = takesBody ? runBody : fc.constantFrom<Tree>({}, "x");
  const segment = fc.oneof({ arbitrary: text("leaf_id"), weight: 5 }, { arbitrary: text("x"), weight: 1 });
  return fc
    .tuple(segment, query, body, seldom(broken, 9), noise, version, verb(takesBody ? "POST" : "GET"))
    .map(([id, params, tree, raw, headers, http, method]) => ({
      version: http,
      method,
      path: path.replace(/\{\w+\}/, id),
      query: params,
      headers,
      body: method === "GET" || method === "HEAD" ? { tree, raw: "" } : { tree, ...(raw === undefined ? {} : { raw }) },
    }));
}

/** One in `times`. */
function seldom<T>(arbitrary: fc.Arbitrary<T>, times: number): fc.Arbitrary<T | undefined> {
  return fc.oneof({ arbitrary: fc.constant(undefined), weight: times - 1 }, { arbitrary, weight: 1 });
}

const version = fc.constantFrom<1 | 2>(1, 2);

function verb(usual: string): fc.Arbitrary<string> {
  const others = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "POST"];
  return fc.oneof({ arbitrary: fc.constant(usual), weight: 14 }, { arbitrary: fc.constantFrom(...others), weight: 1 });
}

const HEADERS: Readonly<Record<string, readonly string[]>> = {
  authorization: ["", "Bearer", "Bearer a.b.c", "Basic eDp4", `Bearer ${"x".repeat(9000)}`],
  "connect-timeout-ms": ["abc", "-1", "99999999999", "1e3"],
  "grpc-timeout": ["x", "-1S", "99999999H", "9999999999S"],
  "content-encoding": ["gzip", "br", "nope", "identity"],
  "grpc-encoding": ["gzip", "nope"],
  "connect-content-encoding": ["gzip", "nope"],
  "connect-protocol-version": ["2", "x", ""],
  accept: ["text/event-stream", "application/x-ndjson", "application/json", "*/*;q=0", "text/html,,;;q=x"],
  "x-big": ["y".repeat(12_000), "y".repeat(70_000)],
  "x-forwarded-for": ["127.0.0.1", "::1, x"],
  origin: ["https://example.invalid", "null"],
  traceparent: ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-zz", "ff-0-0-0"],
};

/** A few headers that mean something to somebody. */
const noise: fc.Arbitrary<Readonly<Record<string, string>>> = fc
  .tuple(
    fc.oneof(
      { arbitrary: fc.constant<string[]>([]), weight: 3 },
      { arbitrary: fc.subarray(Object.keys(HEADERS), { minLength: 1, maxLength: 2 }), weight: 1 },
    ),
    seldom(text("idempotency"), 5),
    seldom(fc.oneof(text("leaf_id"), fc.constantFrom("0", "1", "-1", "1e9", "99999999999999999999")), 5),
  )
  .chain(([names, key, last]) => {
    const some = fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), fc.constantFrom(...(HEADERS[name] ?? [])))));
    const own = { ...(key === undefined ? {} : { "idempotency-key": key }), ...(last === undefined ? {} : { "last-event-id": last }) };
    return some.map((pairs) => ({ ...Object.fromEntries(pairs), ...own }));
  });
