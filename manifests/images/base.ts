import { createHash } from "node:crypto";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Buildah, demand, TIMESTAMP } from "./buildah.ts";

/** Debian as the public image `debian:bookworm-slim` has it: what is essential, and apt. */
const SUITE = "bookworm";
const MIRROR = "http://deb.debian.org";
const OPTIONS = [
  "--variant=minbase",
  "--mode=root",
  ...["doc", "man", "info", "locale"].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`),
  "--dpkgopt=path-include=/usr/share/doc/*/copyright",
  '--aptopt=Acquire::Languages "none"',
  '--aptopt=APT::Install-Recommends "false"',
];
const SOURCES = [
  `deb ${MIRROR}/debian ${SUITE} main`,
  `deb ${MIRROR}/debian ${SUITE}-updates main`,
  `deb ${MIRROR}/debian-security ${SUITE}-security main`,
];

/**
 * The image that all others begin with, if no registry has one for us. It is made once and kept, until its recipe changes or `isFresh` asks for Debian's
 * newest packages. Returns its reference.
 */
export async function makeBase(
  buildah: Buildah,
  cache: string,
  options: { readonly isFresh: boolean; readonly progress: (text: string) => void },
): Promise<string> {
  const recipe = createHash("sha256")
    .update(JSON.stringify([SUITE, OPTIONS, SOURCES]))
    .digest("hex")
    .slice(0, 12);
  const reference = `dev.local/serverless-harness/base:${recipe}`;
  const archive = join(cache, `base-${recipe}.tar`);
  if (options.isFresh) rmSync(archive, { force: true });
  else if (existsSync(archive) && (await buildah.has(reference))) return reference;
  if (!existsSync(archive)) {
    options.progress("making the base of Debian packages (two minutes, once)");
    await demand("env", [`SOURCE_DATE_EPOCH=${TIMESTAMP}`, "mmdebstrap", ...OPTIONS, SUITE, `${archive}.new`, ...SOURCES]);
    renameSync(`${archive}.new`, archive);
  }
  await buildah.import(archive, reference);
  return reference;
}
