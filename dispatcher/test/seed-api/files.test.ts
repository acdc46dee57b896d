import { mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Step, scripted } from "@serverless-harness/pi-fork/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { runWords } from "../../seed-api/answer.ts";
import { FilesWriter } from "../../volume/files-writer.ts";
import { Volume } from "../../volume/volume.ts";
import { SILENT } from "../support.ts";
import { ask, newSession, openRuns, seedHouse, verdict } from "./runs.ts";

const house = seedHouse();

const RESULT = '{"item_id":"i1","verdict":"FLAGGED","reason":"it is so"}';

/** A door with a volume, on which one run's inputs lie. */
async function open(steps: readonly Step[], item: object = {}) {
  const base = await realpath(await mkdtemp(join(tmpdir(), "harness-files-")));
  onTestFinished(() => rm(base, { recursive: true, force: true }));
  const root = join(base, "work");
  await mkdir(root);
  const volume = new Volume(root, root);
  const { store } = house.stack;
  const writer = new FilesWriter({ store, volume, words: runWords, log: SILENT });
  writer.start();
  onTestFinished(() => writer.stop());
  const door = await openRuns(store, {}, volume);
  const sessionId = newSession();
  const inputsRef = join(root, "inputs.json");
  const resultRef = join(root, "results/r.json");
  await writeFile(inputsRef, JSON.stringify({ item_id: "i1", file: "risky.py", pattern: scripted(...steps), ...item }));
  const envelope = { sessionId, inputsRef, resultRef };
  const ended = async (): Promise<unknown> => {
    while ((await door.status({ doneMarker: `${resultRef}.status` })).body["status"] === "queued") await store.waitForWork(50, NEVER);
    return json(`${resultRef}.status`);
  };
  return { ...door, root, base, envelope, sessionId, inputsRef, resultRef, ended };
}

const NEVER = new AbortController().signal;
const json = async (path: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(path, "utf8"));
const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

describe("a run of files", () => {
  test("that is waited for writes its result, and is answered with where that is", async () => {
    const { run, envelope, resultRef } = await open([verdict()]);
    expect(await run(envelope)).toMatchObject({ status: 200, body: { status: "done", resultRef } });
    expect(await readFile(resultRef, "utf8")).toBe(RESULT);
    await rm(resultRef);
    expect(await run(envelope)).toMatchObject({ status: 200, body: { status: "done", resultRef } });
    expect(await readFile(resultRef, "utf8")).toBe(RESULT);
  });

  test("that is queued is accepted with its marker, which follows its result", async () => {
    const { run, envelope, sessionId, resultRef, ended } = await open([verdict()]);
    const accepted = { status: "accepted", sessionId, resultRef, doneMarker: `${resultRef}.status` };
    const { status, body } = await run({ ...envelope, async: true });
    expect({ status, body }).toEqual({ status: 202, body: accepted });
    expect(await ended()).toEqual({ status: "done", sessionId, reason: null, ts: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(await readFile(resultRef, "utf8")).toBe(RESULT);
  });

  test("takes other names for marker and gate, and empty ones for none", async () => {
    const { run, envelope, root, resultRef, status } = await open([verdict()]);
    const doneMarkerRef = join(root, "elsewhere/done");
    const { body } = await run({ ...envelope, async: true, doneMarkerRef, gateRef: "", decisionRef: "" });
    expect(body).toMatchObject({ doneMarker: doneMarkerRef });
    while ((await status({ doneMarker: doneMarkerRef })).body["status"] !== "done") await house.stack.store.waitForWork(50, NEVER);
    expect(await isThere(`${resultRef}.status`)).toBe(false);
  });

  test.each([
    ["are not there", undefined],
    ["are not JSON", "{"],
    ["lack a field", '{"item_id":"i1","file":"risky.py"}'],
    ["are a list", "[]"],
  ])("whose inputs %s fails for them, and leaves its marker alone", async (_what, content) => {
    const { run, envelope, inputsRef, resultRef, ended, sessionId } = await open([verdict()]);
    await rm(inputsRef);
    if (content !== undefined) await writeFile(inputsRef, content);
    expect((await run({ ...envelope, async: true })).status).toBe(202);
    expect(await ended()).toMatchObject({ status: "failed", reason: "bad_inputs", sessionId });
    expect(await Promise.all([isThere(resultRef), isThere(`${resultRef}.gate`)])).toEqual([false, false]);
    const { status, body } = await run(envelope);
    expect({ status, body }).toMatchObject({ status: 200, body: { status: "failed", reason: "bad_inputs", message: expect.any(String) } });
  });

  test("whose files lie outside, or behind a link that leads there, fails for them, and writes nothing there", async () => {
    const { run, envelope, root, base, sessionId } = await open([verdict()]);
    await symlink(base, join(root, "out"));
    const refs = [`${root}/../r.json`, join(root, "out/r.json"), "/tmp/r.json", "r.json"];
    for (const [i, resultRef] of refs.entries()) {
      const { body } = await run({ ...envelope, sessionId: `${sessionId}/${i}`, resultRef });
      expect(body).toMatchObject({ status: "failed", reason: "bad_inputs", message: expect.stringContaining("resultRef") });
    }
    const inputs = await run({ ...envelope, sessionId: `${sessionId}/in`, inputsRef: "/etc/hostname" });
    expect(inputs.body).toMatchObject({ status: "failed", reason: "bad_inputs", message: expect.stringContaining("inputsRef") });
    const marker = await run({ ...envelope, sessionId: `${sessionId}/m`, doneMarkerRef: join(base, "marker") });
    expect(marker.body).toMatchObject({ status: "failed", reason: "bad_inputs", message: expect.stringContaining("doneMarkerRef") });
    expect(await Promise.all(["r.json", "r.json.status", "marker"].map((name) => isThere(join(base, name))))).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("asks by its gate file, is answered by its decision file, and a repeated one changes nothing", async () => {
    const { run, status, envelope, sessionId, resultRef, root, ended } = await open([ask(), verdict()], { require_approval: true });
    const decisionRef = join(root, "decision.json");
    const full = { ...envelope, decisionRef, async: true };
    await run(full);
    const query = { doneMarker: `${resultRef}.status`, gateMarker: `${resultRef}.gate` };
    while ((await status(query)).body["status"] === "queued") await house.stack.store.waitForWork(50, NEVER);
    expect((await status(query)).body).toEqual({ status: "awaiting_approval", gateId: 0 });
    const gate = { summary: "May I?", proposed_action: "hand in FLAGGED" };
    const asked = { status: "awaiting_approval", sessionId, gateId: 0, gate, ts: expect.stringMatching(/Z$/) };
    expect(await json(`${resultRef}.gate`)).toEqual(asked);
    expect(await isThere(resultRef)).toBe(false);
    expect((await run({ ...envelope, decisionRef })).body).toEqual({ status: "paused", gateRef: `${resultRef}.gate`, gateId: 0 });
    await writeFile(decisionRef, "{not JSON");
    expect((await run({ ...envelope, decisionRef })).body).toMatchObject({ status: "paused", gateId: 0 });
    await writeFile(decisionRef, JSON.stringify({ gateId: 0, action: "approve", feedback: "go on" }));
    await run(full);
    expect(await ended()).toMatchObject({ status: "done", sessionId });
    const { ino, mtimeNs } = await stat(resultRef, { bigint: true });
    await run(full);
    expect((await run(envelope)).body).toEqual({ status: "done", resultRef });
    expect(await stat(resultRef, { bigint: true })).toMatchObject({ ino, mtimeNs });
    expect(await isThere(`${resultRef}.gate`)).toBe(true);
    expect((await status(query)).body).toEqual({ status: "done" });
  });

  test("that is aborted leaves its marker, and no result", async () => {
    const { run, envelope, resultRef, ended } = await open([ask(), verdict()], { require_approval: true });
    await run(envelope);
    expect((await run({ ...envelope, decision: { gateId: 0, action: "abort" } })).body).toEqual({ status: "aborted" });
    expect(await ended()).toMatchObject({ status: "aborted", reason: null });
    expect(await isThere(resultRef)).toBe(false);
  });

  test("with an item of its own takes that, answers with its verdict, and writes the files as well", async () => {
    const { run, envelope, resultRef } = await open([]);
    const item = { item_id: "i1", file: "risky.py", pattern: scripted(verdict()) };
    const { body } = await run({ ...envelope, item });
    expect(body).toMatchObject({ status: "done", verdict: { verdict: "FLAGGED" } });
    expect(await readFile(resultRef, "utf8")).toBe(RESULT);
  });
});

describe("the status by files", () => {
  test("is forbidden outside of the volume, after dots and links too", async () => {
    const { status, root, base } = await open([]);
    await symlink(base, join(root, "out"));
    for (const path of ["/etc/passwd", `${root}/../x`, "x", join(root, "out/x")]) {
      expect(await status({ doneMarker: path })).toMatchObject({ status: 403, body: { error: "doneMarker_forbidden" } });
      const gate = await status({ doneMarker: join(root, "none"), gateMarker: path });
      expect(gate).toMatchObject({ status: 403, body: { error: "gateMarker_forbidden" } });
    }
  });

  test("is queued where nothing is yet, or nothing that can be read", async () => {
    const { status, root } = await open([]);
    await writeFile(join(root, "gate"), "{");
    const query = { doneMarker: join(root, "none"), gateMarker: join(root, "gate") };
    expect(await status(query)).toMatchObject({ status: 200, body: { status: "queued" } });
    await writeFile(join(root, "gate"), '{"status":"awaiting_approval","gateId":3}');
    expect(await status(query)).toMatchObject({ status: 200, body: { status: "awaiting_approval", gateId: 3 } });
    await writeFile(join(root, "done"), '{"status":"failed","reason":"error"}');
    expect((await status({ ...query, doneMarker: join(root, "done") })).body).toEqual({ status: "failed", reason: "error" });
  });

  test("needs an id or a marker", async () => {
    const { status } = await open([]);
    expect(await status({ doneMarker: "" })).toMatchObject({ status: 400, body: { error: "sessionId_required" } });
  });
});

test.each([
  ["sessionId", undefined],
  ["sessionId", 7],
  ["inputsRef", undefined],
  ["inputsRef", 7],
  ["resultRef", undefined],
  ["resultRef", null],
  ["doneMarkerRef", 7],
  ["gateRef", []],
  ["decisionRef", {}],
  ["resultRef", "/".repeat(4097)],
])("an envelope of files whose %s is %j is refused", async (name, value) => {
  const { run, envelope } = await open([]);
  expect(await run({ ...envelope, [name]: value })).toMatchObject({ status: 400, body: { error: "envelope_invalid" } });
});

test("an envelope of files is refused where there is no volume, and says which setting is missing", async () => {
  const { run } = await openRuns(house.stack.store);
  const { status, body } = await run({ sessionId: "s", inputsRef: "/work/i", resultRef: "/work/r" });
  expect({ status, body }).toMatchObject({
    status: 400,
    body: { error: "envelope_invalid", message: expect.stringContaining("DISPATCHER_VOLUME") },
  });
});
