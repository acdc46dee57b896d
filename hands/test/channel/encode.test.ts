import { create, toBinary } from "@bufbuild/protobuf";
import { ChannelResponseSchema, Stream } from "@serverless-harness/proto/hands";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeResponse } from "../../channel/encode.ts";

const outputOf = (execId: string, offset: bigint, stream: Stream, data: Uint8Array) =>
  create(ChannelResponseSchema, {
    response: { case: "event", value: { execId, event: { case: "output", value: { offset, stream, data } } } },
  });

test("much output is written down byte for byte as the library does it, without being copied", () => {
  const output = fc.tuple(
    fc.string({ maxLength: 200 }),
    fc.bigInt({ min: 0n, max: 2n ** 53n }),
    fc.constantFrom(Stream.STDOUT, Stream.STDERR),
    fc.uint8Array({ minLength: 4096, maxLength: 70_000 }),
  );
  void fc.assert(
    fc.property(output, ([execId, offset, stream, data]) => {
      const message = outputOf(execId, offset, stream, data);
      const parts = encodeResponse(message) ?? [];
      expect(parts[1]).toBe(data);
      const bytes = Buffer.concat(parts);
      expect(bytes.equals(toBinary(ChannelResponseSchema, message))).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("little output and everything else is left to the library", () => {
  expect(encodeResponse(outputOf("x", 0n, Stream.STDOUT, new Uint8Array(4095)))).toBeUndefined();
  expect(encodeResponse(create(ChannelResponseSchema, { response: { case: "pong", value: { nonce: 1n } } }))).toBeUndefined();
  expect(encodeResponse(create(ChannelResponseSchema))).toBeUndefined();
});
