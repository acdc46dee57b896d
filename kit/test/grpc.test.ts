import { once } from "node:events";
import * as http2 from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { ExecService } from "@serverless-harness/proto/hands";
import { describe, expect, it } from "vitest";
import { type Address, formatAddress } from "../address.ts";
import { enveloped } from "../connect/envelope.ts";
import { startServer } from "../testing/index.ts";

const { input, output } = ExecService.method.get;
const asked = toBinary(input, create(input, { execId: "there" }));
const framed = enveloped(0, asked);
const routes = (router: ConnectRouter): void =>
  void router.service(ExecService, {
    get: ({ execId }, context) => {
      context.responseTrailer.set("x-protocol", context.protocolName);
      return { exec: { execId } };
    },
  });

describe("a gRPC call of one message, as it is on the wire", () => {
  it("is answered with one message, then with its status", async () => {
    const { server } = await startServer({ routes });
    for (const type of ["application/grpc", "application/grpc+proto"]) {
      const { body, trailers } = await call(server.address, [framed], { "content-type": type });
      expect(trailers).toMatchObject({ "grpc-status": "0", "x-protocol": "grpc" });
      expect(body.readUInt32BE(1)).toBe(body.length - 5);
      expect(fromBinary(output, body.subarray(5)).exec?.execId).toBe("there");
    }
  });

  it("may come in any pieces, and with a deadline", async () => {
    const { server } = await startServer({ routes });
    const pieces = [...framed].map((byte) => Buffer.from([byte]));
    expect((await call(server.address, pieces)).trailers["grpc-status"]).toBe("0");
    expect((await call(server.address, [framed], { "grpc-timeout": "10S" })).trailers["grpc-status"]).toBe("0");
  });

  const wrong: Record<string, { bytes: Uint8Array; code: Code }> = {
    "one that can't be parsed": { bytes: enveloped(0, Buffer.from([255, 255])), code: Code.InvalidArgument },
    "a compressed one, though nothing says how": { bytes: enveloped(1, asked), code: Code.Internal },
    "one over the limit": { bytes: Buffer.from([0, 127, 0, 0, 0]), code: Code.ResourceExhausted },
    "a part of one": { bytes: framed.subarray(0, -1), code: Code.InvalidArgument },
    none: { bytes: Buffer.alloc(0), code: Code.Unimplemented },
    "a second one": { bytes: Buffer.concat([framed, framed]), code: Code.Unimplemented },
  };
  it.each(Object.entries(wrong))("%s is refused with a status, and the server goes on", async (_, { bytes, code }) => {
    const { server } = await startServer({ routes });
    const { body, trailers } = await call(server.address, [bytes]);
    expect([trailers["grpc-status"], body.length]).toEqual([String(code), 0]);
    expect((await call(server.address, [framed])).trailers["grpc-status"]).toBe("0");
  });
});

async function call(
  address: Address,
  pieces: readonly Uint8Array[],
  headers: http2.OutgoingHttpHeaders = {},
): Promise<{ body: Buffer; trailers: http2.IncomingHttpHeaders }> {
  const session = http2.connect(formatAddress(address));
  const path = `/${ExecService.typeName}/Get`;
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
  const trailers = once(stream, "trailers");
  for (const piece of pieces) stream.write(piece);
  stream.end();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const [found] = (await trailers) as [http2.IncomingHttpHeaders];
  session.destroy();
  return { body: Buffer.concat(chunks), trailers: found };
}
