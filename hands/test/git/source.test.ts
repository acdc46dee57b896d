import { HarnessError } from "@serverless-harness/kit/errors";
import { expect, test } from "vitest";
import { LocalRepositories } from "../../git/local-repositories.ts";
import { readSource } from "../../git/source.ts";

const none = new LocalRepositories();
const srv = new LocalRepositories({ roots: [{ path: "/srv" }] });

function violations(url: string, ref: string, local = none): string[] {
  try {
    readSource({ url, ref }, local);
  } catch (error) {
    if (error instanceof HarnessError) return error.violations.map(({ field }) => field);
    throw error;
  }
  return [];
}

test.each([
  ["https://example.com/a/b.git", "https", "https://example.com/a/b.git"],
  ["https://EXAMPLE.com:443/a/b/", "https", "https://example.com/a/b"],
  ["https://[::1]:8443/a", "https", "https://[::1]:8443/a"],
  ["ssh://git@example.com:2222/a/b.git", "ssh", "ssh://git@example.com:2222/a/b.git"],
  ["git@example.com:a/b.git", "ssh", "ssh://git@example.com/a/b.git"],
])("%s is taken over %s", (url, protocol, read) => {
  expect(readSource({ url, ref: "" }, none).repository).toEqual({ url: read, protocol });
});

test.each([
  "",
  "example.com/a",
  "http://example.com/a",
  "git://example.com/a",
  "ext::sh -c id",
  "ext::id",
  "fd::17",
  "file:///etc",
  "/etc",
  "./here",
  "-u",
  "--upload-pack=id",
  "https:example.com/a",
  "https://example.com",
  "https://-oProxyCommand=id/a",
  "ssh://-oProxyCommand=id/a",
  "ssh://-l@example.com/a",
  "-oProxyCommand=id@example.com:a",
  "git@-oProxyCommand=id:a",
  "https://token@example.com/a",
  "https://user:secret@example.com/a",
  "ssh://git:secret@example.com/a",
  "https://example.com/a?token=secret",
  "https://example.com/a#secret",
  "https://example.com/a b",
  "https://example.com/a\nb",
  "https://example.com\\a",
  "HTTPS://example.com/a",
  `https://example.com/${"a".repeat(2100)}`,
])("the URL %j is refused", (url) => {
  expect(violations(url, "")).toEqual(["url"]);
  expect(() => readSource({ url, ref: "" }, none)).not.toThrow("secret");
});

test("local repositories are taken below directories that were named, and only by absolute path", () => {
  const path = { url: "/srv/a_b.git", protocol: "file" };
  expect(readSource({ url: "/srv/a_b.git", ref: "" }, srv).repository).toEqual(path);
  expect(readSource({ url: "file:///srv/x/../a_b.git/", ref: "" }, srv).repository).toEqual(path);
  for (const url of [
    "srv/a.git",
    "file://host/srv/a.git",
    "file:///srv/%00",
    "file:///srv/%zz",
    "-",
    "/etc",
    "/srvx/a",
    "/srv/../etc",
    "file:///srv/%2e%2e/etc",
  ])
    expect(violations(url, "", srv)).toEqual(["url"]);
});

test.each(["main", "feature/x-1", "v1.0", "refs/pull/1/head", "a".repeat(40), "ünïcode", "HEAD", "", "a@b", "x{y"])(
  "the ref %j is taken",
  (ref) => {
    expect(violations("https://example.com/a", ref, none)).toEqual([]);
  },
);

test.each([
  "-",
  "--all",
  "-x/y",
  "main~1",
  "main^{tree}",
  "HEAD@{1}",
  ":/text",
  "a..b",
  "a b",
  "a\tb",
  "a\nb",
  "*",
  "a?",
  "a[b",
  "a\\b",
  "/a",
  "a/",
  "a//b",
  ".a",
  "a/.b",
  "a.",
  "a.lock",
  "a.lock/b",
  "@",
  "x".repeat(256),
])("the ref %j is refused", (ref) => {
  expect(violations("https://example.com/a", ref, none)).toEqual(["ref"]);
});

test("everything that is wrong is told at once", () => {
  expect(violations("ftp://x/y", "-", none)).toEqual(["url", "ref"]);
});
