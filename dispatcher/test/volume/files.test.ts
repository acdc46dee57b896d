import { watch } from "node:fs";
import { mkdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import {
  DecisionKind,
  FailureReason,
  FailureSchema,
  GateSchema,
  LeafFilesSchema,
  LeafKind,
  LeafResultSchema,
  type LeafSpecSchema,
  LeafState,
} from "@serverless-harness/proto/leaf";
import type { LeafStore, Outcome } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { endWords } from "../../volume/contents.ts";
import { FilesWriter } from "../../volume/files-writer.ts";
import { Volume } from "../../volume/volume.ts";
import { runDispatcher } from "../process.ts";
import { claimed, newStore, openDoor, refusal, SILENT } from "../support.ts";

const DONE: Outcome = { state: LeafState.DONE, result: create(LeafResultSchema, { text: "", value: { verdict: "CLEAR" } }) };
const FAILED: Outcome = { state: LeafState.FAILED, failure: create(FailureSchema, { reason: FailureReason.NO_RESULT, message: "none" }) };

/** A door with a volume, and somebody who writes its files. */
async function open() {
  const root = join(await realpath(await temporaryDirectory()), "volume");
  await mkdir(root);
  const { store } = await newStore();
  const volume = new Volume(root, root);
  const door = await openDoor({ store, volume });
  const write = (): FilesWriter => {
    const writer = new FilesWriter({ store, volume, words: endWords, log: SILENT });
    writer.start();
    onTestFinished(() => writer.stop());
    return writer;
  };
  const submit = (files: MessageInitShape<typeof LeafFilesSchema>, spec: MessageInitShape<typeof LeafSpecSchema> = {}) =>
    door.leaves.submit({
      spec: { prompt: "p", kind: LeafKind.TASK, files: create(LeafFilesSchema, files), ...spec } as MessageInitShape<typeof LeafSpecSchema>,
    });
  return { ...door, root, volume, write, submit };
}

/** Resolves once no file has to be written. */
async function allWritten(store: LeafStore): Promise<void> {
  while ((await store.filesDue(1)).length > 0) await new Promise(setImmediate);
}

const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, "utf8"));
const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

describe("the files of a leaf", () => {
  test("are its result, and a marker that says how it ended", async () => {
    const { store, root, write, submit } = await open();
    write();
    const { leaf } = await submit({ resultRef: `${root}/out/result.json` }, { sessionId: "s" });
    await store.finish(await claimed(store), DONE, []);
    await allWritten(store);
    expect(await readFile(`${root}/out/result.json`, "utf8")).toBe('{"verdict":"CLEAR"}');
    const ended = await store.get(leaf?.leafId ?? "");
    const ts = new Date(Number(ended?.updatedAtMs)).toISOString();
    expect(await json(`${root}/out/result.json.status`)).toEqual({ status: "done", sessionId: "s", reason: null, ts });
  });

  test("of one that failed or was cancelled are the marker alone", async () => {
    const { store, leaves, root, write, submit } = await open();
    write();
    await submit({ resultRef: `${root}/failed` });
    await store.finish(await claimed(store), FAILED, []);
    const { leaf } = await submit({ resultRef: `${root}/cancelled`, doneMarkerRef: `${root}/marker`, shownSessionId: "run/i1" });
    await leaves.cancel({ leafId: leaf?.leafId ?? "" });
    await allWritten(store);
    expect(await json(`${root}/failed.status`)).toMatchObject({ status: "failed", reason: "no_result" });
    expect(await json(`${root}/marker`)).toMatchObject({ status: "cancelled", sessionId: "run/i1", reason: null });
    expect(await Promise.all([isThere(`${root}/failed`), isThere(`${root}/cancelled`)])).toEqual([false, false]);
  });

  test("are the patch of a solve, and the text of a turn", async () => {
    const { store, root, write, submit } = await open();
    write();
    const finish = async (init: MessageInitShape<typeof LeafResultSchema>) =>
      store.finish(await claimed(store), { state: LeafState.DONE, result: create(LeafResultSchema, init) }, []);
    await submit({ resultRef: `${root}/patch` }, { kind: LeafKind.SOLVE, repository: { url: "https://example.org/r" } });
    await finish({ patch: "diff --git\n" });
    await submit({ resultRef: `${root}/text` }, { kind: LeafKind.TURN });
    await finish({ text: "hello" });
    await allWritten(store);
    expect([await readFile(`${root}/patch`, "utf8"), await readFile(`${root}/text`, "utf8")]).toEqual(["diff --git\n", "hello"]);
  });

  test("tell each question to a human, by its number, and stay after the answer", async () => {
    const { store, root, write, submit } = await open();
    write();
    const { leaf } = await submit({ resultRef: `${root}/r`, gateRef: `${root}/gates/g.json` }, { sessionId: "s" });
    for (const [number, gateId] of ["g1", "g2"].entries()) {
      const claim = await claimed(store);
      const gate = create(GateSchema, { gateId, tool: "bash", summary: `May I ${gateId}?`, proposedAction: "rm" });
      await store.openGate(claim, gate);
      await store.suspend(claim, { gateIds: [gateId] }, "asks", []);
      await allWritten(store);
      const shown = { summary: `May I ${gateId}?`, proposed_action: "rm" };
      const asked = { status: "awaiting_approval", sessionId: "s", gateId: number, gate: shown, ts: expect.stringMatching(/Z$/) };
      expect(await json(`${root}/gates/g.json`)).toEqual(asked);
      expect(await isThere(`${root}/r.status`)).toBe(false);
      await store.decide(leaf?.leafId ?? "", gateId, { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "" });
    }
    await store.finish(await claimed(store), DONE, []);
    await allWritten(store);
    expect(await json(`${root}/gates/g.json`)).toMatchObject({ gateId: 1 });
    expect(await json(`${root}/r.status`)).toMatchObject({ status: "done" });
  });

  test("may answer its questions: a decision names the question by its number, and nothing else is taken for one", async () => {
    const { store, leaves, root, submit } = await open();
    const { leaf } = await submit({ resultRef: `${root}/r` });
    const leafId = leaf?.leafId ?? "";
    const claim = await claimed(store);
    await store.openGate(claim, create(GateSchema, { gateId: "g1", tool: "bash", summary: "May I?", proposedAction: "rm" }));
    await store.suspend(claim, { gateIds: ["g1"] }, "asks", []);
    const decisionRef = `${root}/decision.json`;
    const fields = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field);
    expect(await fields(leaves.decide({ leafId, decisionRef }))).toEqual(["decision_ref"]);
    expect(await fields(leaves.decide({ leafId, decisionRef: "/etc/hostname" }))).toEqual(["decision_ref"]);
    for (const wrong of ["{", "[]", '{"gateId":0}', '{"gateId":"0","action":"approve"}', '{"gateId":0,"action":"maybe"}']) {
      await writeFile(decisionRef, wrong);
      expect(await fields(leaves.decide({ leafId, decisionRef }))).toEqual(["decision_ref"]);
    }
    await writeFile(decisionRef, '{"gateId":1,"action":"approve"}');
    expect(await refusal(leaves.decide({ leafId, decisionRef }))).toMatchObject({ reason: "gate_not_found" });
    await writeFile(decisionRef, '{"gateId":0,"action":"reject","feedback":"not on a Friday"}');
    expect(await fields(leaves.decide({ leafId, decisionRef, gateId: "g1" }))).toEqual(["decision_ref"]);
    const { gate } = await leaves.decide({ leafId, decisionRef, decidedBy: "anna" });
    expect(gate?.decision).toMatchObject({ kind: DecisionKind.REJECT, feedback: "not on a Friday", decidedBy: "anna" });
  });

  test("are its inputs too, as they are when it is submitted", async () => {
    const { root, submit } = await open();
    await writeFile(`${root}/inputs.json`, '{"items":[1,2]}');
    const { leaf } = await submit({ inputsRef: `${root}/inputs.json` });
    expect(leaf?.spec?.input).toEqual({ items: [1, 2] });
  });

  test("are each put in place once, by whichever of two dispatchers, the result before the marker", async () => {
    const { store, root, write, submit } = await open();
    const seen: string[] = [];
    const watcher = watch(root, (_event, name) => void (name?.endsWith(".tmp") ? 0 : seen.push(String(name))));
    onTestFinished(() => watcher.close());
    const names = Array.from({ length: 30 }, (_, i) => `r${i}`);
    for (const name of names) await submit({ resultRef: `${root}/${name}` });
    for (const _ of names) await store.finish(await claimed(store), DONE, []);
    write();
    write();
    await allWritten(store);
    await writeFile(`${root}/last`, "");
    while (!seen.includes("last")) await new Promise(setImmediate);
    for (const name of names) {
      expect(seen.filter((each) => each === name || each === `${name}.status`)).toEqual([name, `${name}.status`]);
    }
  });

  test("are left where a link leads out by then, and nobody else's have to wait", async () => {
    const { store, root, write, submit } = await open();
    const outside = await temporaryDirectory();
    for (let i = 0; i < 60; i++) await submit({ resultRef: `${root}/bad/r${i}` });
    await submit({ resultRef: `${root}/good` });
    for (let i = 0; i < 61; i++) await store.finish(await claimed(store), DONE, []);
    await symlink(outside, `${root}/bad`);
    write();
    while (!(await isThere(`${root}/good.status`))) await new Promise(setImmediate);
    expect(await isThere(join(outside, "r0"))).toBe(false);
    await rm(`${root}/bad`);
    await allWritten(store);
    expect(await isThere(`${root}/bad/r59.status`)).toBe(true);
  });

  test("that a killed dispatcher had begun are finished by the next one, which leaves alone what is there", async () => {
    const opened = await newStore();
    const root = join(await realpath(opened.directory), "volume");
    await mkdir(root);
    const environment = { DISPATCHER_WAKER: "none", DISPATCHER_VOLUME: root };
    const first = await runDispatcher(opened, environment);
    const files = { resultRef: `${root}/r`, doneMarkerRef: `${root}/markers/m` };
    await first.leaves.submit({ spec: { prompt: "p", kind: LeafKind.TASK, files } });
    // In the way of the marker, and not of the result.
    await writeFile(`${root}/markers`, "");
    await opened.store.finish(await claimed(opened.store), DONE, []);
    await first.line("a leaf's files could not be written");
    first.child.kill("SIGKILL");
    await first.exited;
    const { ino, mtimeNs } = await stat(`${root}/r`, { bigint: true });
    await rm(`${root}/markers`);
    await runDispatcher(opened, environment);
    await allWritten(opened.store);
    expect(await json(`${root}/markers/m`)).toMatchObject({ status: "done" });
    expect(await stat(`${root}/r`, { bigint: true })).toMatchObject({ ino, mtimeNs });
  });
});

describe("files that can't be used are refused at the submission:", () => {
  test.each<[string, (root: string) => MessageInitShape<typeof LeafFilesSchema>, string]>([
    ["a result outside", (root) => ({ resultRef: `${root}/../r` }), "result_ref"],
    ["a relative result", () => ({ resultRef: "r" }), "result_ref"],
    ["a marker through a link that leads out", (root) => ({ resultRef: `${root}/r`, doneMarkerRef: `${root}/out/m` }), "done_marker_ref"],
    ["a gate file outside", (root) => ({ resultRef: `${root}/r`, gateRef: "/tmp/g" }), "gate_ref"],
    ["a path that is too long", (root) => ({ resultRef: `${root}/${"r/".repeat(2100)}r` }), "result_ref"],
    ["inputs that are not there", (root) => ({ inputsRef: `${root}/nothing` }), "inputs_ref"],
    ["inputs that are a list", (root) => ({ inputsRef: `${root}/list` }), "inputs_ref"],
    ["inputs that are too large", (root) => ({ inputsRef: `${root}/large` }), "inputs_ref"],
    ["inputs that are a directory", (root) => ({ inputsRef: `${root}/directory` }), "inputs_ref"],
  ])("%s", async (_what, files, field) => {
    const { root, store, submit } = await open();
    await symlink("/tmp", `${root}/out`);
    await writeFile(`${root}/list`, "[]");
    await writeFile(`${root}/large`, JSON.stringify({ x: "x".repeat(1024 * 1024) }));
    await mkdir(`${root}/directory`);
    const { violations } = await refusal(submit(files(root)));
    expect(violations.map((violation) => violation.field)).toContain(`spec.files.${field}`);
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });

  test("those of another tenant, also behind a link of one's own, while the tenant's own are written", async () => {
    const { root, store, write, submit } = await open();
    write();
    await mkdir(`${root}/other`);
    await writeFile(`${root}/other/inputs.json`, '{"secret":1}');
    await mkdir(`${root}/acme`);
    await symlink("../other", `${root}/acme/link`);
    const fields = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field);
    for (const directory of ["other", "acme/link", "acme/../other"]) {
      expect(await fields(submit({ resultRef: `${root}/${directory}/r` }, { tenant: "acme" }))).toEqual(["spec.files.result_ref"]);
      expect(await fields(submit({ inputsRef: `${root}/${directory}/inputs.json` }, { tenant: "acme" }))).toEqual([
        "spec.files.inputs_ref",
      ]);
    }
    expect(await fields(submit({ resultRef: `${root}/r` }, { tenant: "../up" }))).toEqual(["spec.tenant"]);
    await submit({ resultRef: `${root}/acme/r` }, { tenant: "acme" });
    await store.finish(await claimed(store), DONE, []);
    await allWritten(store);
    expect(await json(`${root}/acme/r.status`)).toMatchObject({ status: "done" });
  });

  test("one file for two things, inputs of a turn, inputs twice, and any where there is no volume", async () => {
    const { root, submit } = await open();
    const fields = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field);
    expect(await fields(submit({ resultRef: `${root}/r`, doneMarkerRef: `${root}/r` }))).toEqual(["spec.files"]);
    expect(await fields(submit({ inputsRef: `${root}/i` }, { kind: LeafKind.TURN }))).toEqual(["spec.files.inputs_ref"]);
    expect(await fields(submit({ inputsRef: `${root}/i` }, { input: {} }))).toEqual(["spec.input"]);
    const { leaves } = await openDoor();
    expect(await fields(leaves.submit({ spec: { prompt: "p", files: { resultRef: "/v/r" } } }))).toEqual(["spec.files"]);
  });
});
