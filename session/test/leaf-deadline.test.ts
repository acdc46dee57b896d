import { create } from "@bufbuild/protobuf";
import { LeafSchema, LeafSpecSchema } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { deadlineOf } from "../contract/leaf.ts";

const leaf = (deadlineMs: bigint) => create(LeafSchema, { spec: create(LeafSpecSchema, { limits: { deadlineMs } }), createdAtMs: 1000n });

test("a deadline counts from submission", () => {
  expect(deadlineOf(leaf(3000n))).toBe(4000);
  expect(deadlineOf(leaf(0n))).toBeUndefined();
});
