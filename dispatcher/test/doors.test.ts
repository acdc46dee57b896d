import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { createAuthority } from "@serverless-harness/kit/testing";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService } from "@serverless-harness/proto/leaf";
import { ServerReflection } from "@serverless-harness/proto/reflection";
import { describe, expect, onTestFinished, test } from "vitest";
import { launch, runDispatcher } from "./process.ts";
import { AUTHORIZED, newStore, TOKEN } from "./support.ts";

const CLOSE = { connection: "close" };

describe("the dispatcher's doors", () => {
  test("open by TLS to clients that have a certificate of the authority, and the token", async () => {
    const store = await newStore();
    const authority = await createAuthority();
    const { key, cert } = authority.issue("dispatcher");
    const path = (name: string) => join(store.directory, name);
    for (const [name, text] of Object.entries({ key, cert, ca: authority.ca })) await writeFile(path(name), text);
    const { origin, child, line } = await runDispatcher(store, {
      DISPATCHER_TLS_CERT_FILE: path("cert"),
      DISPATCHER_TLS_KEY_FILE: path("key"),
      DISPATCHER_TLS_CLIENT_CA_FILE: path("ca"),
      DISPATCHER_METRICS_LISTEN: "127.0.0.1:0",
    });
    const address = parseAddress(origin);
    if (address === undefined || !origin.startsWith("https://")) throw new Error(`https is expected, not ${origin}`);
    const list = async (token: string | undefined, identity = {}) => {
      const transport = createTransport({ address, ...(token === undefined ? {} : { token }), tls: { ca: authority.ca, ...identity } });
      onTestFinished(() => transport.close());
      return createClient(LeafService, transport).list({});
    };
    expect((await list(TOKEN, authority.issue("client"))).leaves).toEqual([]);
    await expect(list(undefined, authority.issue("client"))).rejects.toThrow(/token/);
    await expect(list(TOKEN)).rejects.toThrow();
    // Probes and Prometheus have a port of their own, without certificates.
    const { address: probes } = JSON.parse(await line("metrics are served"));
    expect(await (await fetch(`${probes}/healthz`, { headers: CLOSE })).text()).toBe("ok\n");
    expect(await (await fetch(`${probes}/metrics`, { headers: CLOSE })).text()).toContain('dispatcher_leaves{state="ready"} 0');
    const renewed = authority.issue("renewed");
    await writeFile(path("key"), renewed.key);
    await writeFile(path("cert"), renewed.cert);
    await line("the TLS certificate was renewed");
    expect((await list(TOKEN, authority.issue("client"))).leaves).toEqual([]);
    child.kill("SIGTERM");
  });

  test("give metrics to who has the token, and what RPCs did is in them", async () => {
    const { origin, leaves } = await runDispatcher(await newStore());
    await leaves.list({});
    await expect(leaves.get({ leafId: "leaf_none" })).rejects.toThrow();
    expect((await fetch(`${origin}/metrics`, { headers: CLOSE })).status).toBe(401);
    expect((await fetch(`${origin}/healthz`, { headers: CLOSE })).status).toBe(200);
    const text = await (await fetch(`${origin}/metrics`, { headers: { ...AUTHORIZED, ...CLOSE } })).text();
    for (const [method, code] of [
      ["List", "ok"],
      ["Get", "not_found"],
    ])
      expect(text).toContain(`rpc_duration_seconds_count{service="${LeafService.typeName}",method="${method}",code="${code}"} 1`);
    expect(text).not.toContain("leaf_none");
  });

  test("tell the public schema without a token", async () => {
    const { origin } = await runDispatcher(await newStore());
    const address = parseAddress(origin);
    if (address === undefined) throw new Error(origin);
    const transport = createTransport({ address });
    onTestFinished(() => transport.close());
    async function* requests() {
      yield { messageRequest: { case: "listServices" as const, value: "" } };
    }
    for await (const { messageResponse } of createClient(ServerReflection, transport).serverReflectionInfo(requests())) {
      const names = messageResponse.case === "listServicesResponse" ? messageResponse.value.service.map(({ name }) => name) : [];
      expect(names).toContain(LeafService.typeName);
    }
    await expect(createClient(LeafService, transport).list({})).rejects.toThrow(/token/);
  });

  test("stay shut where their TLS can't be used, with the variable", async () => {
    const { exited } = launch({
      LEAF_STORE: "sqlite:/nowhere",
      DISPATCHER_LISTEN: "127.0.0.1:0",
      DISPATCHER_TLS_CERT_FILE: "/nowhere/cert",
    });
    expect(await exited).toMatchObject({ code: 64, stderr: expect.stringContaining("DISPATCHER_TLS_KEY_FILE is not set") });
  });
});
