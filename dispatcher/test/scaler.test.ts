import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";
import type { JsonValue } from "@bufbuild/protobuf";
import { type ClientReadableStream, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { HealthState } from "@serverless-harness/kit/health";
import { createAuthority, startServer } from "@serverless-harness/kit/testing";
import { ExternalScaler } from "@serverless-harness/proto/scaler";
import { describe, expect, onTestFinished, test } from "vitest";
import { scalerRoutes } from "../scaler/routes.ts";
import { kedaClient } from "./keda-client.ts";
import { runDispatcher } from "./process.ts";
import { claimed, finishNext, newLeaf, newStore, originOf, SILENT } from "./support.ts";

const OBJECT = { name: "brain", namespace: "harness", scalerMetadata: { scalerAddress: "dispatcher:7434", leavesPerBrain: "4" } };

/** The scaler on a real port, and KEDA's client of it. */
async function openScaler({ keepAliveMs = 60_000 } = {}) {
  const { store } = await newStore();
  const ended = new AbortController();
  const health = new HealthState([ExternalScaler.typeName]);
  const deps = { store, health, ended: ended.signal, keepAliveMs, log: SILENT };
  const { server } = await startServer({ routes: scalerRoutes(deps) });
  const target = originOf(server).replace("http://", "");
  return { store, ended, target, keda: await kedaClient(target) };
}

/** What a stream says, message by message. */
function heard(stream: ClientReadableStream<JsonValue>): () => Promise<JsonValue> {
  onTestFinished(() => stream.cancel());
  stream.on("error", () => undefined);
  const messages = stream[Symbol.asyncIterator]();
  return async () => (await messages.next()).value ?? null;
}

/** What a call is refused with. grpc-js leaves some characters of a message as they travel. */
async function refusal(call: Promise<JsonValue>): Promise<{ code: status; text: string }> {
  const [outcome] = await Promise.allSettled([call]);
  if (outcome.status === "fulfilled") throw new Error(`it answered ${JSON.stringify(outcome.value)}`);
  return told(outcome.reason);
}

function told({ code, details }: ServiceError): { code: status; text: string } {
  return { code, text: decodeURIComponent(details) };
}

describe("a client on KEDA's own contract", () => {
  test("learns that there is nothing to do, and the metric with its target", async () => {
    const { keda } = await openScaler();
    expect(await keda.call("IsActive", OBJECT)).toEqual({ result: false });
    expect(await keda.call("GetMetricSpec", OBJECT)).toEqual({
      metricSpecs: [{ metricName: "leaves", targetSize: "4", targetSizeFloat: 4 }],
    });
    expect(await keda.call("GetMetricSpec", { name: "brain" })).toMatchObject({ metricSpecs: [{ targetSizeFloat: 50 }] });
  });

  test("gets the leaves that are ready and those that run, and none that waits or is over", async () => {
    const { store, keda } = await openScaler();
    const value = async (): Promise<unknown> => await keda.call("GetMetrics", { scaledObjectRef: OBJECT, metricName: "leaves" });
    const of = (leaves: number) => ({ metricValues: [{ metricName: "leaves", metricValue: String(leaves), metricValueFloat: leaves }] });
    expect(await value()).toEqual(of(0));
    for (let i = 0; i < 3; i++) await store.submit(newLeaf());
    expect(await value()).toEqual(of(3));
    const held = await claimed(store);
    expect(await value()).toEqual(of(3));
    await store.suspend(held, { wakeKey: "k" }, "", []);
    expect(await value()).toEqual(of(2));
    await finishNext(store, "done");
    expect(await value()).toEqual(of(1));
    expect(await keda.call("IsActive", OBJECT)).toEqual({ result: true });
    await finishNext(store, "done");
    expect(await keda.call("IsActive", OBJECT)).toEqual({ result: false });
  });

  test("is told by the stream at once: of a submit, and of the last leaf's end", async () => {
    const { store, keda } = await openScaler();
    const next = heard(keda.stream("StreamIsActive", OBJECT));
    expect(await next()).toEqual({ result: false });
    await store.submit(newLeaf());
    expect(await next()).toEqual({ result: true });
    await store.submit(newLeaf());
    await finishNext(store, "first");
    await finishNext(store, "second");
    expect(await next()).toEqual({ result: false });
  });

  test("is told by every stream, also of a leaf that becomes ready by time alone", async () => {
    const { store, keda } = await openScaler();
    await store.submit(newLeaf());
    await store.suspend(await claimed(store), { notBeforeMs: Date.now() + 200 }, "", []);
    const streams = Array.from({ length: 5 }, () => heard(keda.stream("StreamIsActive", OBJECT)));
    // On a slow machine the time may be over before a stream has begun.
    for (const next of streams) {
      const first = await next();
      if (!isDeepStrictEqual(first, { result: true })) {
        expect(first).toEqual({ result: false });
        expect(await next()).toEqual({ result: true });
      }
    }
  });

  test("hears the state again after a silence", async () => {
    const { keda } = await openScaler({ keepAliveMs: 30 });
    const next = heard(keda.stream("StreamIsActive", OBJECT));
    for (let i = 0; i < 3; i++) expect(await next()).toEqual({ result: false });
  });

  test("sees its stream end well when the dispatcher goes down, so that it comes back at once", async () => {
    const { ended, keda } = await openScaler();
    const stream = keda.stream("StreamIsActive", OBJECT);
    const next = heard(stream);
    await next();
    const told = once(stream, "status");
    ended.abort();
    expect(await next()).toBeNull();
    expect((await told)[0]).toMatchObject({ code: status.OK });
  });

  test.each([
    [{ leafsPerBrain: "4" }, "scalerMetadata.leafsPerBrain: is not known: the dispatcher takes leavesPerBrain"],
    [{ leavesPerBrain: "0" }, "scalerMetadata.leavesPerBrain: must be a whole number from 1 to 1000"],
    [{ leavesPerBrain: "4.5" }, "scalerMetadata.leavesPerBrain: must be a whole number from 1 to 1000"],
    [{ leavesPerBrain: "many", tenant: "a" }, "scalerMetadata.tenant: is not known"],
  ])("is refused with metadata %j, by every RPC, and told why", async (scalerMetadata, text) => {
    const { keda } = await openScaler();
    const object = { scalerMetadata };
    const calls = [
      keda.call("IsActive", object),
      keda.call("GetMetricSpec", object),
      keda.call("GetMetrics", { scaledObjectRef: object, metricName: "leaves" }),
    ];
    const refused = await Promise.all(calls.map(refusal));
    const stream = keda.stream("StreamIsActive", object).on("data", () => undefined);
    const broken = await new Promise<ServiceError>((resolve) => stream.on("error", resolve));
    for (const each of [...refused, told(broken)])
      expect(each).toEqual({ code: status.INVALID_ARGUMENT, text: expect.stringContaining(text) });
  });

  test("is refused another metric by its name", async () => {
    const { keda } = await openScaler();
    const error = await refusal(keda.call("GetMetrics", { scaledObjectRef: OBJECT, metricName: "queue" }));
    expect(error).toMatchObject({
      code: status.INVALID_ARGUMENT,
      text: expect.stringContaining('no metric "queue", the only one is leaves'),
    });
  });

  test("finds nothing else on the port: no leaf is shown or taken there", async () => {
    const { target } = await openScaler();
    const answer = await fetch(`http://${target}/harness.leaf.v1.LeafService/List`, {
      method: "POST",
      headers: { "content-type": "application/json", connection: "close" },
      body: "{}",
    });
    expect([answer.status, await answer.json()]).toEqual([404, expect.objectContaining({ code: "unimplemented" })]);
  });
});

describe("a dispatcher whose waker is keda", () => {
  test("serves its scaler on a port of its own and starts no brain", async () => {
    const opened = await newStore();
    const { leaves, line, health } = await runDispatcher(opened, {
      DISPATCHER_WAKER: "keda",
      DISPATCHER_SCALER_LISTEN: "127.0.0.1:0",
    });
    const { address }: { address: string } = JSON.parse(await line("the external scaler is served"));
    const keda = await kedaClient(address.replace("http://", ""));
    const next = heard(keda.stream("StreamIsActive", OBJECT));
    expect(await next()).toEqual({ result: false });
    await leaves.submit({ spec: { prompt: "say hello" } });
    expect(await next()).toEqual({ result: true });
    expect(await health()).toMatchObject({ status: "ok", waker: "keda", brains: [], backlog: { ready: 1, running: 0 } });
  });

  test("with a client authority tells nothing to who has no certificate of it", async () => {
    const { ca, issue } = await createAuthority();
    const { store } = await newStore();
    const deps = { store, health: new HealthState([]), ended: new AbortController().signal, keepAliveMs: 60_000, log: SILENT };
    const address = { kind: "tcp", host: "127.0.0.1", port: 0, tls: true } as const;
    const { server } = await startServer({ address, routes: scalerRoutes(deps), tls: { ...issue("scaler"), clientCa: ca } });
    const target = server.address.kind === "tcp" ? `localhost:${server.address.port}` : "";
    const { key, cert } = issue("keda");
    const known = credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert));
    expect(await (await kedaClient(target, known)).call("IsActive", OBJECT)).toEqual({ result: false });
    const stranger = await kedaClient(target, credentials.createSsl(Buffer.from(ca)));
    expect(await refusal(stranger.call("IsActive", OBJECT))).toMatchObject({ code: status.UNAVAILABLE });
  });
});
