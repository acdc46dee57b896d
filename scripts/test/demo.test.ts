import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { stackPaths } from "../../clients/cli/stack/paths.ts";
import { stackProcesses } from "../../clients/cli/stack/processes.ts";
import { ROOT } from "../run.ts";

test("the demo, interrupted in the middle of a turn, takes down everything that it started", async () => {
  const directory = await temporaryDirectory();
  const demo = spawn(process.execPath, [join(ROOT, "scripts/demo/main.ts")], { env: { PATH: process.env["PATH"], TMPDIR: directory } });
  const state = (): string => join(directory, readdirSync(directory).find((name) => name.startsWith("leaf-demo-")) ?? "none");
  let interrupted = "";
  const watch = setInterval(() => {
    if (interrupted !== "" || !stackProcesses(stackPaths(state())).some(({ part }) => part === "brain")) return;
    interrupted = state();
    demo.kill("SIGINT");
  }, 20);
  const code = await new Promise((resolve) => demo.on("close", resolve));
  clearInterval(watch);
  expect({ code, seen: interrupted !== "" }).toEqual({ code: 130, seen: true });
  expect(stackProcesses(stackPaths(interrupted))).toEqual([]);
  expect(readdirSync(directory).filter((name) => name.startsWith("leaf-demo-"))).toEqual([]);
}, 60_000);
