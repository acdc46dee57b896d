/** An image of ours. */
export interface Image {
  readonly name: string;
  /** Folder of its Containerfile. */
  readonly folder: string;
  /** Stage of the Containerfile; the last one, if there is only one image in it. */
  readonly target?: string;
  /** The bundle in it, below `dist/`; none in what is not ours. */
  readonly service?: "dispatcher" | "brain" | "hands" | "model";
}

/** All of them, in the order in which they are built. */
export const IMAGES: readonly Image[] = [
  { name: "dispatcher", folder: "dispatcher", service: "dispatcher" },
  { name: "brain", folder: "brain", service: "brain" },
  { name: "model", folder: "model", service: "model" },
  { name: "hands", folder: "hands", target: "hands", service: "hands" },
  { name: "hands-folder", folder: "hands", target: "hands-folder", service: "hands" },
  { name: "redis", folder: "redis" },
  { name: "hands-build-tools", folder: "hands", target: "hands-build-tools", service: "hands" },
];

/** `dev.local/` is what Knative never asks a registry about. */
export function referenceOf(name: string, tag: string): string {
  return `dev.local/serverless-harness/${name}:${tag}`;
}

/** What an image is made of besides Debian, relative to the checkout. */
export function inputsOf(image: Image): string[] {
  if (image.service === undefined) return [];
  const bundle = [`dist/${image.service}/main.mjs`, `dist/${image.service}/packages.json`, "node_modules/node/bin/node"];
  if (image.service !== "hands") return bundle;
  const keeper = ["keeper", "guard", "zygote.so"].map((file) => `dist/hands/assets/hands/process/keeper/build/${file}`);
  return [...bundle, ...keeper, "node_modules/node-pty/build/Release/pty.node"];
}
