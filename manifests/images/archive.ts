import { demand } from "./buildah.ts";

/** What an image says of how it is started. */
export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
}

interface Manifest {
  readonly config: { readonly digest: string };
}

/** The digest of the image in an archive, by which registries and clusters name it, and its configuration. */
export async function readArchive(archive: string): Promise<{ readonly digest: string; readonly config: ImageConfig }> {
  const index = (await read(archive, "index.json")) as { manifests: ReadonlyArray<{ digest: string }> };
  const digest = index.manifests[0]?.digest ?? "";
  const manifest = (await read(archive, blob(digest))) as Manifest;
  const { config } = (await read(archive, blob(manifest.config.digest))) as { config: ImageConfig };
  return { digest, config };
}

function blob(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

async function read(archive: string, file: string): Promise<unknown> {
  return JSON.parse(await demand("tar", ["--extract", "--to-stdout", "--file", archive, file]));
}
