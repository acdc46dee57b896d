import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createNetServer } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { DirectoryArtifacts } from "../../artifacts/directory.ts";
import { openArtifacts } from "../../artifacts/open.ts";
import { s3Artifacts, startS3 } from "./s3-server.ts";

async function failure(call: () => Promise<unknown>): Promise<HarnessError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof HarnessError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const bytes = Buffer.from("content");

// The S3 server of these tests writes objects in place, unlike S3 itself, so what follows is shown on the directory only.
test("who reads an artifact that is replaced reads the old one to its end", async () => {
  const store = new DirectoryArtifacts(await temporaryDirectory());
  const old = Buffer.alloc(4 * 1024 * 1024, "old");
  await store.put("key", { bytes: old });
  const reading = await store.get("key");
  await store.put("key", { bytes });
  await store.delete("key");
  expect(reading === undefined ? undefined : (await buffer(reading)).equals(old)).toBe(true);
});

test("of many writers of one key one wins as a whole", async () => {
  const store = new DirectoryArtifacts(await temporaryDirectory());
  const contents = Array.from({ length: 8 }, (_, i) => Buffer.alloc(300_000, `${i}`));
  await Promise.all(contents.map((content) => store.put("contended", { bytes: content })));
  const stream = await store.get("contended");
  const winner = stream === undefined ? undefined : await buffer(stream);
  expect(contents.some((content) => winner?.equals(content))).toBe(true);
});

test("a put that fails leaves no half file and the old artifact", async () => {
  const root = await temporaryDirectory();
  const store = new DirectoryArtifacts(root);
  await store.put("key", { bytes });
  await expect(store.put("key", { file: join(root, "missing") })).rejects.toThrow();
  expect(await readdir(join(root, "+incoming"))).toEqual([]);
  expect(await store.has("key")).toBe(true);
});

test("artifacts are their owner's alone, and what is no regular file, or led to by a link, is no artifact", async () => {
  const base = await temporaryDirectory();
  const root = join(base, "store");
  const store = new DirectoryArtifacts(root);
  const file = join(base, "file");
  await writeFile(file, "content", { mode: 0o644 });
  await store.put("acme/one/file", { file });
  await store.put("acme/one/bytes", { bytes });
  const modes = await Promise.all(
    ["", "+incoming", "acme", "acme/one", "acme/one/file", "acme/one/bytes"].map(
      async (name) => (await stat(join(root, name))).mode & 0o777,
    ),
  );
  expect(modes).toEqual([0o700, 0o700, 0o700, 0o700, 0o600, 0o600]);
  execFileSync("mkfifo", [join(root, "acme/one/pipe")]);
  await symlink(file, join(root, "acme/one/link"));
  await symlink(join(root, "acme"), join(root, "linked"));
  const server = createNetServer().listen(join(root, "acme/one/socket"));
  await once(server, "listening");
  onTestFinished(() => void server.close());
  for (const key of ["acme/one/pipe", "acme/one/link", "acme/one/socket", "acme/one", "linked/one/bytes"]) {
    expect([await store.get(key), await store.has(key)], key).toEqual([undefined, false]);
    await store.delete(key);
  }
  expect((await failure(() => store.put("linked/one/more", { bytes }))).reason).toBe("invalid_argument");
  expect(await readdir(join(root, "acme/one"))).toEqual(["bytes", "file", "link", "pipe", "socket"]);
  expect(await readFile(file, "utf8")).toBe("content");
});

test("what a crash left half written is never an artifact, and is removed once it is old", async () => {
  const root = await temporaryDirectory();
  await mkdir(join(root, "+incoming"), { recursive: true });
  await writeFile(join(root, "+incoming", "old"), "half");
  await writeFile(join(root, "+incoming", "fresh"), "half");
  await utimes(join(root, "+incoming", "old"), 1000, 1000);
  const store = new DirectoryArtifacts(root);
  await store.put("key", { bytes });
  expect(await readdir(join(root, "+incoming"))).toEqual(["fresh"]);
});

test("a key below another artifact's key is refused by name, and changes nothing", async () => {
  const store = new DirectoryArtifacts(await temporaryDirectory());
  await store.put("a", { bytes });
  await store.put("b/c", { bytes });
  expect((await failure(() => store.put("a/b", { bytes }))).reason).toBe("invalid_argument");
  expect((await failure(() => store.put("b", { bytes }))).reason).toBe("invalid_argument");
  expect([await store.has("a/b"), await store.has("b"), await store.get("b")]).toEqual([false, false, undefined]);
  await store.delete("b");
  expect([await store.has("a"), await store.has("b/c")]).toEqual([true, true]);
});

test("a missing bucket, refused credentials and an unreachable server are told apart, without naming a host", async () => {
  const server = await startS3();
  const noBucket = s3Artifacts(server.endpoint, { bucket: "nowhere" });
  for (const call of [() => noBucket.put("k", { bytes }), () => noBucket.get("k"), () => noBucket.has("k")]) {
    expect(await failure(call)).toMatchObject({ reason: "artifacts_misconfigured", message: expect.stringContaining("no bucket nowhere") });
  }
  const stranger = s3Artifacts(server.endpoint, { credentials: { accessKeyId: "STRANGER", secretAccessKey: "x" } });
  for (const call of [() => stranger.put("k", { bytes }), () => stranger.get("k"), () => stranger.has("k"), () => stranger.delete("k")]) {
    expect(await failure(call)).toMatchObject({ reason: "artifacts_misconfigured", message: expect.stringContaining("credentials") });
  }
  const gone = s3Artifacts(server.endpoint);
  await gone.put("k", { bytes });
  await server.stop();
  for (const call of [() => gone.put("k", { bytes }), () => gone.get("k")]) {
    const error = await failure(call);
    expect(error).toMatchObject({ reason: "artifacts_unavailable" });
    expect(error.message).not.toContain("127.0.0.1");
  }
});

test("a server that fails gets the whole file again, with a checksum that lets it tell whether all of it came", async () => {
  const content = Buffer.alloc(700_000, "x");
  const file = join(await temporaryDirectory(), "content");
  await writeFile(file, content);
  const seen: { bytes: number; checksum: unknown }[] = [];
  const server = createServer(async (request, response) => {
    seen.push({ bytes: (await buffer(request)).length, checksum: request.headers["x-amz-checksum-sha256"] });
    response.writeHead(seen.length < 3 ? 503 : 200).end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.closeAllConnections());
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  await s3Artifacts(`http://127.0.0.1:${port}`).put("key", { file });
  const checksum = createHash("sha256").update(content).digest("base64");
  expect(seen).toEqual([1, 2, 3].map(() => ({ bytes: content.length, checksum })));
});

test("keys lie below the prefix, so that two stores share a bucket", async () => {
  const { endpoint } = await startS3();
  const one = s3Artifacts(endpoint, { prefix: "/one/" });
  const other = s3Artifacts(endpoint, { prefix: "other" });
  const all = s3Artifacts(endpoint, { prefix: "" });
  await one.put("key", { bytes });
  expect([await one.has("key"), await other.has("key"), await all.has("one/key")]).toEqual([true, false, true]);
});

test("a URL opens a directory or a bucket", async () => {
  const root = join(await temporaryDirectory(), "with space%");
  const directory = openArtifacts(pathToFileURL(root).href);
  await directory.put("key", { bytes });
  expect(await readdir(root)).toContain("key");
  const { endpoint } = await startS3();
  const url = `s3://artifacts/some/prefix?endpoint=${encodeURIComponent(endpoint)}&region=eu-west-1`;
  const bucket = openArtifacts(url, { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" });
  await bucket.put("key", { bytes });
  expect(await s3Artifacts(endpoint, { prefix: "some/prefix" }).has("key")).toBe(true);
  bucket.close();
});

test.each([
  "",
  "artifacts",
  "/absolute",
  "file://host/dir",
  "file:///",
  "file:///dir%zz",
  "file:///dir?region=x",
  "s3://",
  "s3:///prefix",
  "s3://key:secret@bucket/prefix",
  "s3://bucket/pre fix",
  "s3://bucket?regoin=eu",
  "s3://bucket?endpoint=ftp://host",
  "s3://bucket?endpoint=http://user:pw@host",
  "s3://bucket?path_style=maybe",
  "https://bucket.example/",
])("%j is refused with the forms that are taken, and without repeating a password", (url) => {
  const open = () => openArtifacts(url);
  expect(open).toThrow(ConfigError);
  expect(open).not.toThrow(/secret|user:pw@host\/\//);
});
