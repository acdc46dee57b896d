/**
 * Builds the images into archives that clusters import:
 * `node manifests/images/main.ts [name ...] [--output DIR] [--tag T] [--fresh] [--check] [--json]`. README.md says what each of them is.
 */
import { copyFileSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, run } from "../../scripts/run.ts";
import { readArchive } from "./archive.ts";
import { makeBase } from "./base.ts";
import { Buildah, BuildError, demand } from "./buildah.ts";
import { makeCache } from "./config.ts";
import { IMAGES, type Image, inputsOf, referenceOf } from "./images.ts";
import { describeParts } from "./sbom.ts";
import { tryStart } from "./start.ts";

/** Something that the user has to change. */
const USAGE = 64;

/** What became of an image; `--json` prints these. */
interface Built {
  readonly name: string;
  readonly reference: string;
  readonly archive: string;
  readonly sbom: string;
  /** Of its manifest, as registries and clusters name it. */
  readonly digest: string;
  readonly bytes: number;
  readonly seconds: number;
}

const options = {
  output: { type: "string", default: join(ROOT, "dist", "images") },
  tag: { type: "string", default: "dev" },
  fresh: { type: "boolean", default: false },
  check: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  progress(error.message);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values, images } = readArguments();
  const cache = makeCache();
  const output = resolve(values.output);
  mkdirSync(output, { recursive: true });
  await demand("sh", [join(import.meta.dirname, "packages.sh")]);
  const buildah = new Buildah(cache);
  const base = await makeBase(buildah, cache, { isFresh: values.fresh, progress });
  const revision = await revisionOf();
  const built: Built[] = [];
  for (const image of images) {
    const made = await build(image, { buildah, base, revision, output, tag: values.tag, isFresh: values.fresh });
    if (values.check) await check(image, made, { buildah, base, revision, output: cache, tag: "check", isFresh: true });
    built.push(made);
    if (!values.json) process.stdout.write(`${made.reference}  ${mebibytes(made.bytes)}  ${made.seconds.toFixed(1)} s  ${made.archive}\n`);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ images: built }, undefined, 2)}\n`);
}

function readArguments(): { values: ReturnType<typeof parse>["values"]; images: readonly Image[] } {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse();
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  const unknown = positionals.filter((name) => !IMAGES.some((image) => image.name === name));
  if (unknown.length > 0) refuse(`unknown image ${unknown.join(", ")}; there are ${IMAGES.map(({ name }) => name).join(", ")}`);
  if (!/^\w[\w.-]{0,127}$/.test(values.tag))
    refuse(`--tag is ${JSON.stringify(values.tag)}: a tag has up to 128 letters, digits, "_", "." and "-", and begins with no "." or "-"`);
  if (process.getuid?.() !== 0) refuse("images are built as root, since their files have owners: run it with sudo");
  const images = positionals.length === 0 ? IMAGES : IMAGES.filter(({ name }) => positionals.includes(name));
  const missing = new Set(images.flatMap(inputsOf).filter((file) => !existsSync(join(ROOT, file))));
  if (missing.size > 0) refuse(`missing: ${[...missing].join(", ")}; run \`npm run setup\` first`);
  return { values, images };
}

function parse() {
  return parseArgs({ options, allowPositionals: true });
}

function refuse(message: string): never {
  progress(message);
  process.exit(USAGE);
}

/** What {@link build} needs besides the image. */
interface Place {
  readonly buildah: Buildah;
  readonly base: string;
  readonly revision: string;
  readonly output: string;
  readonly tag: string;
  readonly isFresh: boolean;
}

async function build(image: Image, { buildah, base, revision, output, tag, isFresh }: Place): Promise<Built> {
  const { name } = image;
  const reference = referenceOf(name, tag);
  const archive = join(output, `${name}.tar`);
  const sbom = join(output, `${name}.cdx.json`);
  progress(`building ${name}`);
  const started = performance.now();
  const containerfile = join("manifests", "images", image.folder, "Containerfile");
  await buildah.build({ containerfile, target: image.target, reference, arguments: { BASE: base, REVISION: revision }, isFresh });
  await buildah.export(reference, archive);
  const { digest } = await readArchive(archive);
  await buildah.withRoot(reference, async (root) => {
    writeFileSync(sbom, `${JSON.stringify(describeParts(root, { name, reference, digest }), undefined, 1)}\n`);
  });
  return { name, reference, archive, sbom, digest, bytes: statSync(archive).size, seconds: (performance.now() - started) / 1000 };
}

/** Build it once more, from nothing, and compare; then start it. Throws a {@link BuildError}. */
async function check(image: Image, made: Built, place: Place): Promise<void> {
  const again = await build(image, place);
  if (again.digest !== made.digest) {
    const kept = join(place.output, `${image.name}.first.tar`);
    copyFileSync(made.archive, kept);
    throw new BuildError(
      `${image.name} is another image each time: ${made.digest}, then ${again.digest}; compare ${kept} with ${again.archive}`,
    );
  }
  progress(`${image.name} has the same digest twice: ${made.digest}`);
  const { config } = await readArchive(made.archive);
  if (config.User !== "65532:65532") throw new BuildError(`${image.name} runs as ${config.User ?? "root"}, not as 65532:65532`);
  const { service } = image;
  if (service === undefined) return;
  await place.buildah.withRoot(made.reference, (root) => tryStart({ ...image, service }, root, config));
  progress(`${image.name} starts with a read-only root, and stops in order`);
}

/** The commit that is built, which tells where an image's sources are. */
async function revisionOf(): Promise<string> {
  const { code, output } = await run("git", ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]);
  return code === 0 ? output.trim() : "unknown";
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

function progress(text: string): void {
  process.stderr.write(`images: ${text}\n`);
}
