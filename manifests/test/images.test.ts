import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QUICK_START } from "@serverless-harness/kit/quick-start";
import { expect, test } from "vitest";
import { IMAGES, inputsOf } from "../images/images.ts";
import { describeParts } from "../images/sbom.ts";
import { readStages, type Stage } from "./containerfile.ts";

const ROOT = join(import.meta.dirname, "../..");
const IMAGES_DIRECTORY = join(ROOT, "manifests/images");
/** What Node itself and its TLS read. */
const OF_NODE = ["NODE_COMPILE_CACHE", "NODE_COMPILE_CACHE_PORTABLE", "SSL_CERT_FILE"];
/** Where each service's settings are documented. */
const SETTINGS: Readonly<Record<string, string>> = {
  brain: "docs/brain.md",
  dispatcher: "dispatcher/README.md",
  hands: "hands/README.md",
  model: "kit/stand-in-model/README.md",
};

const OURS = IMAGES.filter(({ service }) => service !== undefined);

/** The instructions that an image is the outcome of, those of the stages that it begins with first. */
function instructionsOf(image: (typeof IMAGES)[number]): Stage["instructions"] {
  const stages = readStages(readFileSync(join(IMAGES_DIRECTORY, image.folder, "Containerfile"), "utf8"));
  const last = image.target === undefined ? stages.at(-1) : stages.find(({ name }) => name === image.target);
  if (last === undefined) throw new Error(`${image.folder}/Containerfile has no stage ${image.target}`);
  const chain: Stage[] = [];
  for (let stage: Stage | undefined = last; stage !== undefined; stage = stages.find(({ name }) => name === stage?.from))
    chain.unshift(stage);
  return chain.flatMap(({ instructions }) => instructions);
}

test.each(IMAGES)("the image $name is no root's and stops by SIGTERM", (image) => {
  const instructions = instructionsOf(image);
  for (const [keyword, text] of [
    ["USER", "65532:65532"],
    ["STOPSIGNAL", "SIGTERM"],
  ])
    expect(instructions.findLast((each) => each.keyword === keyword)?.text).toBe(text);
});

test.each(OURS)("the image $name starts a program without a shell", (image) => {
  const instructions = instructionsOf(image);
  const last = (keyword: string): string | undefined => instructions.findLast((each) => each.keyword === keyword)?.text;
  const entrypoint = JSON.parse(last("ENTRYPOINT") ?? "") as string[];
  expect(entrypoint[0]).toBe("/opt/leaf/bin/node");
  if (image.name === "hands-folder") expect(entrypoint.at(-1)).toBe("/opt/leaf/install.mjs");
  else expect(entrypoint.at(-1)).toBe(`/opt/leaf/dist/${image.service}/main.mjs`);
  if (image.name === "brain") expect(entrypoint.slice(1, -1)).toEqual(QUICK_START);
});

test.each(IMAGES)("the image $name says what it is, of which version and commit", (image) => {
  const labels = instructionsOf(image).findLast(({ keyword }) => keyword === "LABEL")?.text ?? "";
  for (const label of ["title", "description", "licenses", "version", "revision"])
    expect(labels).toMatch(new RegExp(`org\\.opencontainers\\.image\\.${label}="[^"]+"`));
});

test.each(IMAGES)("what the image $name copies from the project is there", (image) => {
  const stages = readStages(readFileSync(join(IMAGES_DIRECTORY, image.folder, "Containerfile"), "utf8"));
  const copied = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ keyword, text }) => keyword === "COPY" && !text.startsWith("--from="))
    .flatMap(({ text }) => text.split(/\s+/).slice(0, -1));
  expect(copied.length).toBeGreaterThan(0);
  for (const file of [...copied, ...inputsOf(image)]) expect(existsSync(join(ROOT, file)), file).toBe(true);
});

test.each(OURS)("every variable that the image $name sets is a setting that its service documents, or Node's own", (image) => {
  const documentation = readFileSync(join(ROOT, SETTINGS[image.service ?? ""] ?? ""), "utf8");
  const variables = instructionsOf(image)
    .filter(({ keyword }) => keyword === "ENV")
    .flatMap(({ text }) => [...text.matchAll(/(\w+)=/g)].map(([, name]) => name ?? ""));
  for (const variable of variables) if (!OF_NODE.includes(variable)) expect(documentation).toContain(`| \`${variable}\``);
});

test.each(["dispatcher", "brain", "model"])("the image %s begins with nothing, so it has no shell and no package manager", (name) => {
  const stages = readStages(readFileSync(join(IMAGES_DIRECTORY, name, "Containerfile"), "utf8"));
  expect(stages.at(-1)?.from).toBe("scratch");
  expect(stages.at(-1)?.instructions.filter(({ keyword }) => keyword === "COPY")).toEqual([
    { keyword: "COPY", text: "--from=build /out/ /" },
  ]);
});

test("every folder with a Containerfile is built", () => {
  const folders = readdirSync(IMAGES_DIRECTORY).filter((folder) => existsSync(join(IMAGES_DIRECTORY, folder, "Containerfile")));
  expect(folders.sort()).toEqual([...new Set(IMAGES.map(({ folder }) => folder))].sort());
});

test.each([
  [["nope"], "unknown image nope; there are dispatcher, brain"],
  [["--tag", ".x"], '--tag is ".x"'],
  [["--colour"], "Unknown option '--colour'"],
])("the arguments %j are refused before anything is built, with the reason", (args, reason) => {
  const main = join(IMAGES_DIRECTORY, "main.ts");
  const { status, stderr, stdout } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  expect({ status, stdout }).toEqual({ status: 64, stdout: "" });
  expect(stderr).toContain(reason);
});

test("the bill of materials has Debian's packages that are installed, the bundled npm packages and Node", () => {
  const root = mkdtempSync(join(tmpdir(), "leaf-image-"));
  try {
    mkdirSync(join(root, "var/lib/dpkg"), { recursive: true });
    mkdirSync(join(root, "opt/leaf/dist/model"), { recursive: true });
    const fields = ["Architecture: amd64", "Version: 1:2.36-9+deb12u1"];
    const status = [
      ["Package: libc6", "Status: install ok installed", ...fields],
      ["Package: gone", "Status: deinstall ok config-files", ...fields],
    ];
    writeFileSync(join(root, "var/lib/dpkg/status"), status.map((lines) => lines.join("\n")).join("\n\n"));
    writeFileSync(join(root, "opt/leaf/dist/model/packages.json"), '[{"name": "@a/b", "version": "1.2.3", "license": "MIT"}]');
    const { components } = describeParts(root, { name: "model", reference: "r", digest: "d" }) as { components: Array<{ purl: string }> };
    expect(components.map(({ purl }) => purl)).toEqual([
      "pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12",
      expect.stringMatching(/^pkg:generic\/node@24\./),
      "pkg:npm/%40a/b@1.2.3",
    ]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("a bundle tells which npm packages are in it, the native one of hands too", () => {
  const names = (service: string): string[] =>
    (JSON.parse(readFileSync(join(ROOT, "dist", service, "packages.json"), "utf8")) as Array<{ name: string }>).map(({ name }) => name);
  expect(names("hands")).toEqual(expect.arrayContaining(["node-pty", "@connectrpc/connect"]));
  expect(names("dispatcher")).not.toContain("node-pty");
});
