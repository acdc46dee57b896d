import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { LogDestination } from "../log-destination.ts";

test("a line that can't be written is lost without an error, and those after it are written", async () => {
  const path = join(await temporaryDirectory(), "log");
  writeFileSync(path, "");
  const readOnly = openSync(path, "r");
  const log = new LogDestination(readOnly);
  log.write("lost\n");
  log.write("lost as well\n");
  closeSync(readOnly);
  // The very descriptor is writable now, as a disk that has room again.
  const again = openSync(path, "a");
  expect(again).toBe(readOnly);
  log.write("kept\n");
  log.write("and the next\n");
  closeSync(again);
  const [note = "", ...lines] = readFileSync(path, "utf8").trim().split("\n");
  expect(JSON.parse(note)).toMatchObject({ lost: 2, msg: "log lines before this one could not be written" });
  expect(lines).toEqual(["kept", "and the next"]);
});
