import { describe, expect, test } from "vitest";
import { findViolations, importsOf, type Rooms, readImports, readRooms } from "../rooms.ts";

const HOUSE: Rooms = {
  rooms: { kit: [], hands: ["kit"], brain: ["hands/client", "kit"], bench: ["kit", "hands/client"] },
  layers: { hands: [["main.ts"], ["exec", "files"], ["."], ["fs"]] },
};
const TOUCHED = [
  { from: "hands/main.ts", to: "hands/exec/run.ts" },
  { from: "hands/main.ts", to: "hands/files/read.ts" },
  { from: "hands/exec/run.ts", to: "hands/fs/write.ts" },
];
const violations = (from: string, to: string): string[] => findViolations(HOUSE, [...TOUCHED, { from, to }]);

describe("the rules of rooms.json", () => {
  test("let an import run down, to any layer below, and within one folder", () => {
    expect(violations("hands/main.ts", "hands/fs/write.ts")).toEqual([]);
    expect(violations("hands/config.ts", "hands/fs/write.ts")).toEqual([]);
    expect(violations("hands/exec/run.ts", "hands/exec/kill.ts")).toEqual([]);
    expect(violations("brain/main.ts", "hands/client")).toEqual([]);
  });

  test.each([
    ["up a layer", "hands/fs/write.ts", "hands/exec/run.ts", "exec lies above fs in hands"],
    ["up to the room's own files", "hands/fs/write.ts", "hands/config.ts", ". lies above fs in hands"],
    ["from one folder of a layer to the other", "hands/exec/run.ts", "hands/files/read.ts", "exec and files are one layer of hands"],
    ["to a room that is not allowed", "kit/log.ts", "hands/client", "kit may import no other room"],
    ["to the inside of a room with a public part", "brain/main.ts", "hands/exec/run.ts", "brain may import hands/client, kit"],
    ["to a name that only begins alike", "brain/main.ts", "hands/client-old.ts", "brain may import hands/client, kit"],
    ["from a folder in no layer", "hands/new/thing.ts", "hands/fs/write.ts", "rooms.json has no layer of hands for hands/new/thing.ts"],
    ["from a folder in no room", "attic/thing.ts", "kit/log.ts", "rooms.json has no room for attic/thing.ts"],
    ["of what is for tests", "brain/main.ts", "kit/testing", "what is for tests is not for the product"],
  ])("refuse an import %s", (_, from, to, why) => {
    expect(violations(from, to)).toEqual([`${from} imports ${to}: ${why}`]);
  });

  test("let benchmarks and other test helpers import what is for tests", () => {
    expect(violations("bench/exec.ts", "kit/testing")).toEqual([]);
    expect(violations("hands/exec/testing/child.ts", "kit/testing")).toEqual([]);
  });

  test("name an entry that no file belongs to any more", () => {
    expect(findViolations(HOUSE, TOUCHED.slice(0, 1))).toEqual([
      "rooms.json names hands/files, which imports nothing and is imported by nothing",
      "rooms.json names hands/fs, which imports nothing and is imported by nothing",
    ]);
  });
});

test("an import is seen in each of its forms", () => {
  const text = [
    'import { readFile } from "node:fs/promises";',
    'import { Code } from "@connectrpc/connect";',
    'import type { Exec } from "./exec.ts";',
    'import {\n  first,\n  second,\n} from "../fs/write.ts";',
    'export { run } from "./run.ts";',
    'export * from "./all.ts";',
    'import "./effects.ts";',
    'const late = await import("./late.ts");',
    'type Early = import("./early.ts").Early;',
    'import { appError } from "@serverless-harness/kit/errors";',
    'import { render } from "@serverless-harness/cli/view";',
  ].join("\n");
  expect(importsOf("hands/exec/start.ts", text).map(({ to }) => to)).toEqual([
    "hands/exec/exec.ts",
    "hands/fs/write.ts",
    "hands/exec/run.ts",
    "hands/exec/all.ts",
    "hands/exec/effects.ts",
    "hands/exec/late.ts",
    "hands/exec/early.ts",
    "kit/errors",
    "clients/cli/view",
  ]);
});

test("the repository keeps its own rules", () => {
  const imports = readImports();
  expect(imports.length).toBeGreaterThan(1000);
  expect(findViolations(readRooms(), imports)).toEqual([]);
});
