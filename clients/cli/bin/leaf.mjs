#!/usr/bin/env node
// Plain JavaScript, so that any Node can start it; an older one hands over to the Node that the checkout brings.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const NEEDED_MAJOR = 24;

if (Number.parseInt(process.versions.node, 10) >= NEEDED_MAJOR) {
  // Halves the time to start; kept in the checkout, since a shared directory could be prepared by somebody else.
  const { enableCompileCache } = await import("node:module");
  enableCompileCache(fileURLToPath(new URL("../../../node_modules/.cache/leaf", import.meta.url)));
  const { bundleOf, hasCurrentBundle } = await import("../stack/programs.ts");
  const root = new URL("../../../", import.meta.url);
  // The bundle halves it once more. It is used only if it is newer than its sources, so that nobody runs yesterday's code.
  await import(hasCurrentBundle(fileURLToPath(root), "leaf") ? new URL(bundleOf("leaf"), root).href : "../main.ts");
} else {
  const node = fileURLToPath(new URL("../../../node_modules/.bin/node", import.meta.url));
  if (existsSync(node)) handOver(node);
  else {
    process.stderr.write(`leaf: needs Node.js ${NEEDED_MAJOR}, this is ${process.versions.node}: run \`npm run setup\` in the checkout\n`);
    process.exitCode = 7;
  }
}

/** Run the same command under another Node, with its signals and its exit code. */
function handOver(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`leaf: can't start ${node}: ${error.message}: run \`npm run setup\` in the checkout\n`);
    process.exitCode = 7;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}
