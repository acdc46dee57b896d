import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { types } from "node:util";
import { create, type fromBinary, type fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import * as hands from "@serverless-harness/proto/hands";
import * as leaf from "@serverless-harness/proto/leaf";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lazyDescriptors } from "../bundle/lazy-descriptors.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Below the checkout, as packages that stay outside are found from there. */
const DIRECTORY = join(ROOT, "node_modules", ".cache", `lazy-descriptors-${process.pid}`);
const SOURCE = `
  export * as hands from "./proto/hands.ts";
  export * as leaf from "./proto/leaf.ts";
  export { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
`;

interface Bundle {
  readonly hands: typeof hands;
  readonly leaf: typeof leaf;
  readonly create: typeof create;
  readonly fromBinary: typeof fromBinary;
  readonly fromJson: typeof fromJson;
  readonly toBinary: typeof toBinary;
  readonly toJson: typeof toJson;
}

let bundle: Bundle;

beforeAll(async () => {
  await mkdir(DIRECTORY, { recursive: true });
  const outfile = join(DIRECTORY, "bundle.mjs");
  const stdin = { contents: SOURCE, resolveDir: ROOT, loader: "ts" as const };
  await build({ stdin, outfile, bundle: true, format: "esm", platform: "node", logLevel: "error", plugins: [lazyDescriptors()] });
  bundle = (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Bundle;
});

afterAll(() => rm(DIRECTORY, { recursive: true, force: true }));

const isMade = (descriptor: object) => !types.isProxy(Object.getPrototypeOf(descriptor));

test("a bundled descriptor is made at the first look at it, with what its file needs and nothing else", () => {
  expect(isMade(bundle.hands.TerminalService)).toBe(false);
  expect(bundle.leaf.GateSchema.typeName).toBe("harness.leaf.v1.Gate");
  expect(isMade(bundle.leaf.GateSchema)).toBe(true);
  expect(isMade(bundle.leaf.LeafSchema)).toBe(false);
  expect(isMade(bundle.hands.TerminalService)).toBe(false);
});

test("messages are the same as with descriptors that are made at once, in both directions", () => {
  const init = {
    leafId: "leaf_1",
    claims: 3,
    createdAtMs: 5n,
    state: leaf.LeafState.RUNNING,
    spec: {
      prompt: "p",
      labels: { a: "b" },
      input: { list: [1, "two", { three: null }] },
      gates: { tools: [{ tool: "bash", arguments: "" }] },
    },
    openGates: [{ gateId: "g" }],
  };
  const [ours, theirs] = [bundle.create(bundle.leaf.LeafSchema, init), create(leaf.LeafSchema, init)];
  const bytes = toBinary(leaf.LeafSchema, theirs);
  expect(Buffer.from(bundle.toBinary(bundle.leaf.LeafSchema, ours))).toEqual(Buffer.from(bytes));
  const json = toJson(leaf.LeafSchema, theirs);
  expect(bundle.toJson(bundle.leaf.LeafSchema, ours)).toEqual(json);
  expect(bundle.toJson(bundle.leaf.LeafSchema, bundle.fromBinary(bundle.leaf.LeafSchema, bytes))).toEqual(json);
  expect(bundle.toJson(bundle.leaf.LeafSchema, bundle.fromJson(bundle.leaf.LeafSchema, json))).toEqual(json);
});

test("every descriptor says the same as the one that is made at once", () => {
  for (const [lazy, eager] of [[bundle.hands, hands] as const, [bundle.leaf, leaf] as const]) {
    const names = Object.keys(eager).filter((name) => /Schema$|Service$/.test(name));
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) {
      const [ours, theirs] = [lazy, eager].map((module) => Reflect.get(module, name)) as [{ toString(): string }, { toString(): string }];
      expect(ours.toString()).toBe(theirs.toString());
    }
  }
  const methods = ({ methods: list }: { methods: readonly { name: string; methodKind: string; input: { typeName: string } }[] }) =>
    list.map(({ name, methodKind, input }) => [name, methodKind, input.typeName]);
  expect(methods(bundle.hands.FileService)).toEqual(methods(hands.FileService));
  expect(methods(bundle.leaf.LeafService)).toEqual(methods(leaf.LeafService));
});
