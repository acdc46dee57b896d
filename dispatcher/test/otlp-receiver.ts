import { once } from "node:events";
import { createServer } from "node:http";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { onTestFinished } from "vitest";

/** A span as a collector gets it. */
export interface ReceivedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** 2: it went wrong. */
  readonly status: number;
}

/** What a message holds, by the numbers of its fields: bytes, or numbers. */
type Fields = ReadonlyMap<number, ReadonlyArray<Uint8Array | number>>;

/** Listens for OTLP over HTTP, as a collector does, and keeps what comes. */
export async function receiveSpans(): Promise<{ url: string; spans: ReceivedSpan[]; raw: () => string }> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    bodies.push(body);
    if (request.url === "/v1/traces") spans.push(...spansIn(body));
    response.writeHead(200, { "content-type": "application/x-protobuf" });
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  return {
    url: `http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}`,
    spans,
    raw: () => Buffer.concat(bodies).toString("latin1"),
  };
}

/** By opentelemetry/proto/collector/trace/v1 and trace/v1, whose field numbers these are. */
function spansIn(request: Uint8Array): ReceivedSpan[] {
  return messages(fields(request), 1).flatMap((resourceSpans) => {
    const service = String(attributesOf(messages(resourceSpans, 1)[0] ?? new Map(), 1)["service.name"]);
    return messages(resourceSpans, 2).flatMap((scopeSpans) => messages(scopeSpans, 2).map((span) => spanOf(span, service)));
  });
}

function spanOf(span: Fields, service: string): ReceivedSpan {
  const hex = (field: number): string => Buffer.from(bytesOf(span, field)).toString("hex");
  return {
    service,
    name: Buffer.from(bytesOf(span, 5)).toString(),
    traceId: hex(1),
    spanId: hex(2),
    parentSpanId: hex(4),
    attributes: attributesOf(span, 9),
    status: Number(messages(span, 15)[0]?.get(3)?.[0] ?? 0),
  };
}

function attributesOf(message: Fields, field: number): Record<string, string | number | boolean> {
  return Object.fromEntries(
    messages(message, field).map((pair) => {
      const value = messages(pair, 2)[0] ?? new Map();
      const text = value.get(1)?.[0];
      const plain =
        text instanceof Uint8Array ? Buffer.from(text).toString() : value.get(2)?.[0] === 1 ? true : (value.get(3)?.[0] ?? false);
      return [Buffer.from(bytesOf(pair, 1)).toString(), plain as string | number | boolean];
    }),
  );
}

function messages(message: Fields, field: number): Fields[] {
  return (message.get(field) ?? []).flatMap((value) => (value instanceof Uint8Array ? [fields(value)] : []));
}

function bytesOf(message: Fields, field: number): Uint8Array {
  const value = message.get(field)?.[0];
  return value instanceof Uint8Array ? value : new Uint8Array();
}

function fields(bytes: Uint8Array): Fields {
  const all = new Map<number, Array<Uint8Array | number>>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const values = all.get(field) ?? [];
    all.set(field, values);
    if (type === 2) values.push(reader.bytes());
    else if (type === 0) values.push(Number(reader.int64()));
    else reader.skip(type, field);
  }
  return all;
}
