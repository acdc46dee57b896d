import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type LeafJson, sharedStack } from "./leaf.ts";

const stack = sharedStack();

interface MadeJson {
  readonly secret: string;
  readonly token: { readonly tokenId: string; readonly tenant: string; readonly scopes: string[] };
}

describe("leaf token", () => {
  test("makes a token that works from elsewhere, for its tenant and its scopes alone, until it is revoked", async () => {
    const scopes = ["--scope", "leaves:submit", "--scope", "leaves:read"];
    const made = await stack.leaf.json<MadeJson>("token", "create", "ci-bot", "--tenant", "acme", ...scopes, "--life", "1h");
    expect(made.token).toMatchObject({ tenant: "acme", scopes: ["leaves:submit", "leaves:read"] });
    const ours = await stack.leaf.json<LeafJson>("submit", "Run: true");

    const env = { LEAF_URL: (await stack.leaf.json<{ url: string }>("status")).url, LEAF_TOKEN: made.secret };
    const submitted = await stack.leaf.run(["submit", "--json", "Run: true"], { env });
    expect(submitted).toMatchObject({ code: 0, stderr: "" });
    const { leaf } = JSON.parse(submitted.stdout) as LeafJson;
    expect(leaf.spec).toMatchObject({ tenant: "acme" });
    expect(await stack.leaf.run(["get", ours.leaf.leafId], { env })).toMatchObject({ code: 4, stdout: "" });
    expect(await stack.leaf.run(["cancel", leaf.leafId], { env })).toMatchObject({
      code: 5,
      stderr: expect.stringContaining("use one with the scope leaves:cancel"),
    });
    expect(await stack.leaf.run(["token", "list"], { env })).toMatchObject({ code: 5 });

    const { tokenId } = made.token;
    expect((await stack.leaf.run(["token", "list", "--tenant", "acme"])).stdout).toMatch(
      new RegExp(`^${tokenId} +acme +ci-bot +valid +\\S+ +leaves:submit leaves:read$`, "m"),
    );
    expect(await stack.leaf.run(["token", "revoke", tokenId])).toMatchObject({ code: 0, stdout: `revoked ${tokenId} of ci-bot\n` });
    expect((await stack.leaf.run(["token", "list"])).stdout).toContain("revoked by operator");
    expect(await stack.leaf.run(["list"], { env })).toMatchObject({ code: 5, stderr: expect.stringContaining("the token was revoked") });
  });

  test("prints the token alone on stdout, and keeps it nowhere", async () => {
    const { code, stdout, stderr } = await stack.leaf.run(["token", "create", "somebody", "--scope", "gates:decide"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(stderr).toMatch(/^token_\w+: somebody of tenant default, for gates:decide, until .*; it is shown only now\n$/);
    const signature = stdout.trim().split(".")[2] ?? "none";
    for (const name of ["dispatcher", "brain"])
      expect(await readFile(join(stack.leaf.dir, "log", `${name}.log`), "utf8").catch(() => "")).not.toContain(signature);
    expect((await stat(join(stack.leaf.dir, "keys", "signing-keys.json"))).mode & 0o777).toBe(0o600);
  });

  test("rotates the key that signs: older tokens hold until the overlap is over, and others from then on", async () => {
    const tokenOf = async () => (await stack.leaf.json<MadeJson>("token", "create", "bot", "--scope", "leaves:read")).secret;
    const keyOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid;
    const url = (await stack.leaf.json<{ url: string }>("status")).url;
    const list = async (token: string) => (await stack.leaf.run(["list"], { env: { LEAF_URL: url, LEAF_TOKEN: token } })).code;
    const old = await tokenOf();
    const { code, stdout } = await stack.leaf.run(["token", "rotate", "--overlap", "5s"]);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^tokens are signed with a new key; those of older keys stay valid until \S+/),
    ]);
    expect((await stat(join(stack.leaf.dir, "keys", "signing-keys.json"))).mode & 0o777).toBe(0o600);
    let young = await tokenOf();
    while (keyOf(young) === keyOf(old)) young = await tokenOf();
    while ((await list(old)) === 0) await new Promise((resolve) => setTimeout(resolve, 100));
    expect([await list(old), await list(young)]).toEqual([5, 0]);
  });

  test.each([
    [["token", "create", "x", "--scope", "everything"], 2, "scopes[0]: must be one of leaves:submit"],
    [["token", "create", "x"], 2, "scopes: must name what it is for: some of leaves:submit"],
    [["token", "create", "x", "--scope", "admin", "--life", "soon"], 2, "It must be a number and a unit, as 90d"],
    [["token", "create", "x", "--scope", "admin", "--life", "9999d"], 2, "life_seconds"],
    [["token", "revoke", "token_nobody"], 4, "there is no token of this id"],
    [["token", "nap"], 2, "unknown command 'token nap'"],
  ])("refuses %j and says why", async (args, code, message) => {
    expect(await stack.leaf.run(args)).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) });
  });
});
