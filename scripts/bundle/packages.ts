import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Metafile } from "esbuild";

/** The innermost package of a path below node_modules: `node_modules/a/node_modules/@b/c/index.js` is of `node_modules/a/node_modules/@b/c`. */
const PACKAGE = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;

/**
 * Writes which npm packages are in a bundle, or of the `native` ones beside it, into `file`: a list of `{name, version, license}` by name. The code
 * itself names them nowhere, and whoever hears of a weakness in one asks.
 */
export function writePackages(root: string, { inputs }: Pick<Metafile, "inputs">, native: readonly string[], file: string): void {
  const directories = new Set<string>();
  for (const [path, { imports }] of Object.entries(inputs)) {
    const directory = PACKAGE.exec(path)?.[1];
    if (directory !== undefined) directories.add(directory);
    for (const { path: name, external } of imports) if (external === true && native.includes(name)) directories.add(`node_modules/${name}`);
  }
  const packages = [...directories].map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, directory, "package.json"), "utf8")) as Record<string, string>;
    return { name, version, license };
  });
  const order = ({ name, version }: (typeof packages)[number]): string => `${name}@${version}`;
  packages.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  writeFileSync(file, `${JSON.stringify(packages, null, 1)}\n`);
}
