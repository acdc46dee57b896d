/** The messages of the Connect conformance suite, and how its runner talks to the programs that it tests. */
import { readFileSync } from "node:fs";
import {
  createFileRegistry,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Any, anyPack, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

/** `connectrpc.conformance.v1.Header`. */
export interface Header {
  readonly name: string;
  readonly value: string[];
}

/** `connectrpc.conformance.v1.Error`. */
export interface SuiteError {
  readonly code: Code;
  readonly message?: string | undefined;
  readonly details: readonly Any[];
}

const PACKAGE = "connectrpc.conformance.v1";
const LENGTH_BYTES = 4;

/** The suite's types, as `buf build` wrote them to a file: they are not part of this repository. */
export class Suite {
  readonly registry: FileRegistry;

  constructor(imagePath: string) {
    this.registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(imagePath)));
  }

  service(): DescService {
    return found(this.registry.getService(`${PACKAGE}.ConformanceService`));
  }

  message(name: string): DescMessage {
    return found(this.registry.getMessage(`${PACKAGE}.${name}`));
  }
}

function found<T>(type: T | undefined): T {
  if (type === undefined) throw new Error("the image has not the types of the conformance suite");
  return type;
}

/** The runner's messages, each after its length in four bytes. */
export async function* received<T>(schema: DescMessage): AsyncGenerator<T> {
  let waiting: Buffer = Buffer.alloc(0);
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    waiting = Buffer.concat([waiting, chunk]);
    while (waiting.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + waiting.readUInt32BE();
      if (waiting.length < end) break;
      yield fromBinary(schema, waiting.subarray(LENGTH_BYTES, end)) as T;
      waiting = waiting.subarray(end);
    }
  }
}

/** A message to the runner. */
export function reply(schema: DescMessage, message: MessageShape<DescMessage>): void {
  const bytes = toBinary(schema, message);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(bytes.length);
  process.stdout.write(Buffer.concat([length, bytes]));
}

export function toHeaders(headers: Headers): Header[] {
  return [...headers].map(([name, value]) => ({ name, value: value.split(",").map((one) => one.trim()) }));
}

export function addHeaders(headers: Headers, added: readonly Header[] = []): void {
  for (const { name, value } of added) for (const one of value) headers.append(name, one);
}

export function toConnectError({ code, message = "", details }: SuiteError, ...more: readonly Any[]): ConnectError {
  const error = new ConnectError(message, code);
  error.details = [...details, ...more].map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  return error;
}

export function fromConnectError(thrown: unknown): MessageInitShape<DescMessage> & SuiteError {
  const { code, rawMessage, details } = ConnectError.from(thrown, Code.Unknown);
  const anys = details.map((detail) => {
    if (!("type" in detail)) throw new Error("an error that came over the wire has its details as bytes");
    return { $typeName: "google.protobuf.Any", typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value } satisfies Any;
  });
  return { code, message: rawMessage, details: anys };
}

/** A message of a dynamic type as an Any. */
export function packed(suite: Suite, message: Message): Any {
  return anyPack(found(suite.registry.getMessage(message.$typeName)), message);
}
