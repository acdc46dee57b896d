import { cpSync, existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, extname, join, relative, resolve } from "node:path";
import type { Plugin } from "esbuild";

/** Files and directories that a source reads beside itself: `new URL("schema.sql", import.meta.url)`. */
const BESIDE = /new URL\(\s*(["'])([^"'?#]+)\1\s*,\s*import\.meta\.url\s*\)/g;

/** Not read, but loaded: a bundle has them in itself, or beside itself if they are started apart. */
const CODE = new Set([".ts", ".js", ".mjs", ".cjs", ".json"]);

/**
 * Carries along what sources read beside themselves: copied below `assets/` of the output directory, under the path that it has in the
 * project, and asked for there. A bundled file is somewhere else than its sources were. `started`: sources that are started apart, as worker
 * threads, and the files that they are bundled to.
 */
export function carryAssets(root: string, output: string, started: ReadonlyMap<string, string>): Plugin {
  return {
    name: "carry-assets",
    setup(build) {
      build.onLoad({ filter: /\.(?:m?js|ts)$/ }, async ({ path }) => {
        const source = await readFile(path, "utf8");
        if (!source.includes("import.meta.url")) return undefined;
        const contents = source.replace(BESIDE, (whole: string, _quote: string, name: string) => {
          const asset = resolve(dirname(path), name);
          const apart = started.get(asset);
          if (apart !== undefined) return `new URL(${JSON.stringify(`./${apart}`)}, import.meta.url)`;
          if (!existsSync(asset) || CODE.has(extname(asset)) || !asset.startsWith(`${root}/`)) return whole;
          const kept = join("assets", relative(root, asset).replace("node_modules/", "packages/"));
          cpSync(asset, join(output, kept), { recursive: true });
          const slash = statSync(asset).isDirectory() ? "/" : "";
          return `new URL(${JSON.stringify(`./${kept}${slash}`)}, import.meta.url)`;
        });
        return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
      });
    },
  };
}
