import type { JsonObject } from "@bufbuild/protobuf";
import { LeafKind } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { openDoor, refusal } from "./support.ts";

/** Each schema refers to the next one twice, so that the last is looked at 2^40 times. */
function doubled(levels: number): JsonObject {
  const $defs: JsonObject = { [`d${levels}`]: { type: "string" } };
  for (let level = 0; level < levels; level++) {
    const $ref = `#/$defs/d${level + 1}`;
    $defs[`d${level}`] = { anyOf: [{ $ref }, { $ref }] };
  }
  return { type: "object", anyOf: [{ $ref: "#/$defs/d0" }], $defs };
}

test("a schema that takes for ever to check is refused by its name, and others are served meanwhile", async () => {
  const { leaves, origin } = await openDoor();
  const order: string[] = [];
  const submitting = refusal(leaves.submit({ spec: { prompt: "p", kind: LeafKind.TASK, outputSchema: doubled(40) } })).finally(() =>
    order.push("refused"),
  );
  while (!order.includes("refused") && order.length < 3) {
    expect(await askHttp1(origin, "/health")).toMatchObject({ status: 200 });
    order.push("healthy");
  }
  const refused = await submitting;
  expect(order).toEqual(["healthy", "healthy", "healthy", "refused"]);
  expect(refused).toMatchObject({ reason: "invalid_argument", violations: [{ field: "spec.output_schema" }] });
  expect(refused.message).toContain("takes too long to check");
});

test("a schema that refers to others many times, and is checked at once, is taken", async () => {
  const { leaves } = await openDoor();
  expect((await leaves.submit({ spec: { prompt: "p", kind: LeafKind.TASK, outputSchema: doubled(5) } })).leaf?.leafId).toBeTruthy();
});
