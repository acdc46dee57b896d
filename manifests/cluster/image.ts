import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { run } from "./command.ts";

/** An image that holds one static program and nothing else. */
export interface ProgramImage {
  /** With its tag. */
  readonly name: string;
  /** The program's file. */
  readonly program: string;
  /** What it is called with if a pod says nothing. */
  readonly args?: readonly string[];
}

/** The same bytes for the same files, whoever packs them and when. */
const PACK = ["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];

/** Write an image as an OCI archive (https://github.com/opencontainers/image-spec), which `ctr images import` reads. No tool of images is needed. */
export async function writeImage({ name, program, args = [] }: ProgramImage, archive: string): Promise<void> {
  const work = mkdtempSync(`${archive}-`);
  try {
    const root = join(work, "root");
    const layout = join(work, "layout");
    mkdirSync(root);
    mkdirSync(join(layout, "blobs", "sha256"), { recursive: true });
    copyFileSync(program, join(root, basename(program)));
    const layerFile = join(work, "layer.tar");
    await run("tar", [...PACK, "--file", layerFile, "--directory", root, "."]);

    const add = (mediaType: string, bytes: Buffer): Descriptor => {
      const digest = createHash("sha256").update(bytes).digest("hex");
      writeFileSync(join(layout, "blobs", "sha256", digest), bytes);
      return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
    };
    const addJson = (mediaType: string, value: object): Descriptor => add(mediaType, Buffer.from(JSON.stringify(value)));
    const layer = add("application/vnd.oci.image.layer.v1.tar", readFileSync(layerFile));
    const config = addJson("application/vnd.oci.image.config.v1+json", {
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: { Entrypoint: [`/${basename(program)}`], Cmd: args, User: "65532:65532" },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    });
    const manifest = addJson("application/vnd.oci.image.manifest.v1+json", {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config,
      layers: [layer],
    });
    const annotations = { "io.containerd.image.name": name };
    writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
    writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    await run("tar", [...PACK, "--file", archive, "--directory", layout, "."]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}
