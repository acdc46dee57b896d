import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createFileRegistry, type DescMethod, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { type ChannelCredentials, Client, type ClientReadableStream, credentials, type ServiceError } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";

const run = promisify(execFile);
const BUF = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));
const CONTRACT = fileURLToPath(new URL("fixtures/keda", import.meta.url));

/** The methods of KEDA's own contract, by name. It is compiled for this, so nothing of ours is in it. */
async function kedaMethods(): Promise<ReadonlyMap<string, DescMethod>> {
  const { stdout } = await run(BUF, ["build", CONTRACT, "--output", "-"], { encoding: "buffer" });
  const service = createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout)).getService("externalscaler.ExternalScaler");
  if (service === undefined) throw new Error("KEDA's contract has no ExternalScaler");
  return new Map(service.methods.map((method) => [method.name, method]));
}

/** A client as KEDA is one: gRPC by another library than the server's, on KEDA's own contract. Messages are in proto3's JSON. */
export async function kedaClient(target: string, security: ChannelCredentials = credentials.createInsecure()) {
  const methods = await kedaMethods();
  const client = new Client(target, security);
  onTestFinished(() => client.close());
  const calling = (name: string) => {
    const method = methods.get(name);
    if (method === undefined) throw new Error(`KEDA's contract has no ${name}`);
    const path = `/${method.parent.typeName}/${name}`;
    const write = (json: JsonValue): Buffer => Buffer.from(toBinary(method.input, fromJson(method.input, json)));
    const read = (bytes: Buffer): JsonValue => toJson(method.output, fromBinary(method.output, bytes), { alwaysEmitImplicit: true });
    return [path, write, read] as const;
  };
  return {
    /** Rejects with grpc-js' own error. */
    call: (name: string, request: JsonValue): Promise<JsonValue> =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(...calling(name), request, (error: ServiceError | null, answer?: JsonValue) =>
          error === null ? resolve(answer ?? null) : reject(error),
        );
      }),
    stream: (name: string, request: JsonValue): ClientReadableStream<JsonValue> =>
      client.makeServerStreamRequest(...calling(name), request),
  };
}
