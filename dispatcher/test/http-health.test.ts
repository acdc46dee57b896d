import { HealthState } from "@serverless-harness/kit/health";
import { startServer } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { VERSION } from "../version.ts";
import { askHttp1, askHttp2 } from "./http-client.ts";
import { AUTHORIZED, claimed, newLeaf, openDoor, originOf } from "./support.ts";

describe.each([
  ["HTTP/1.1", askHttp1],
  ["HTTP/2", askHttp2],
])("GET /health over %s", (_version, ask) => {
  test("tells a stranger that it is there and which version it is, no more", async () => {
    const { origin } = await openDoor();
    expect(await ask(origin, "/health")).toMatchObject({ status: 200, body: { status: "ok", version: VERSION } });
    expect(Object.keys((await ask(origin, "/health")).body)).toEqual(["status", "version"]);
  });

  test("tells who has the token what waits, what runs and which brains live", async () => {
    const { origin, store } = await openDoor();
    await store.submit(newLeaf());
    await store.submit(newLeaf());
    await claimed(store);
    const { body } = await ask(origin, "/health", { headers: AUTHORIZED });
    expect(body).toEqual({
      status: "ok",
      version: VERSION,
      backlog: { ready: 1, running: 1, nextDueMs: expect.any(Number) },
      waker: "none",
      brains: [],
      brainsStarted: 0,
      brainsCrashed: 0,
      brainSeconds: 0,
    });
  });

  test("refuses a wrong token, so that its owner learns of it", async () => {
    const { origin } = await openDoor();
    const answer = await ask(origin, "/health", { headers: { authorization: "Bearer wrong" } });
    expect(answer).toMatchObject({ status: 401, body: { error: "unauthorized" } });
  });

  test("is 503 while the dispatcher drains and where the store is gone", async () => {
    const { origin, drain, store } = await openDoor();
    drain.begin();
    expect(await ask(origin, "/health")).toMatchObject({ status: 503, body: { status: "draining" } });
    await store.close();
    expect(await ask(origin, "/health")).toMatchObject({ status: 503, body: { status: "store_unavailable" } });
  });

  test.each(["/health", "/readyz"])("is 503 at %s while the sandbox is away, and 200 while it serves", async (path) => {
    const sandbox = new HealthState([]);
    const { server } = await startServer({ routes: (router) => sandbox.routes(router) });
    const { origin } = await openDoor({ sandbox: originOf(server) });
    expect(await ask(origin, path)).toMatchObject({ status: 200, body: { status: "ok" } });
    const away = await openDoor({ sandbox: `unix:/nonexistent/hands.sock` });
    const { status, body } = await ask(away.origin, path, { headers: AUTHORIZED });
    expect([status, body["status"]]).toEqual([503, "no_sandbox"]);
    expect(body["problem"]).toMatch(/^the sandbox at unix:\/nonexistent\/hands.sock is away \(.+\), so leaves wait for it/);
    sandbox.stopServing();
    while ((await ask(origin, path)).status === 200) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await ask(origin, path)).toMatchObject({ status: 503, body: { status: "no_sandbox" } });
  });

  test("answers HEAD without a body, and no other method", async () => {
    const { origin } = await openDoor();
    expect(await ask(origin, "/health", { method: "HEAD" })).toMatchObject({ status: 200, body: {} });
    expect(await ask(origin, "/health", { method: "POST", body: "" })).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });
});
