import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { afterEach, expect, test } from "vitest";
import { Git } from "../../git/git.ts";
import { GitFailure } from "../../git/git-failure.ts";
import { commit, failureOf, git, reasonOf, repository } from "./sandbox.ts";

const variables = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in variables)) delete process.env[name];
  Object.assign(process.env, variables);
});

/** A program that behaves as the script says. */
async function program(script: string): Promise<Git> {
  const path = join(await temporaryDirectory(), "git-fake");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return new Git({ program: path });
}

async function endOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    if (error instanceof GitFailure) return error.end;
    throw error;
  }
  return "good";
}

test("the user's and the daemon's own settings change nothing", async () => {
  const directory = await repository();
  const home = await temporaryDirectory();
  writeFileSync(join(home, ".gitconfig"), "[user]\n\tname = someone\n[alias]\n\tboo = !touch boo\n[core]\n\teditor = false\n");
  Object.assign(process.env, {
    HOME: home,
    XDG_CONFIG_HOME: home,
    GIT_DIR: "/nowhere",
    GIT_AUTHOR_NAME: "someone",
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: "user.email",
    GIT_CONFIG_VALUE_0: "x@y",
  });
  const gitDir = join(directory, ".git");
  const settings = await new Git().text(["config", "--list", "--show-origin"], { gitDir });
  expect(settings).not.toContain("someone");
  expect(settings).not.toContain("x@y");
  expect(await endOf(() => new Git().run(["boo"], { gitDir }))).toEqual({ kind: "exit", code: 1 });
});

test("arguments reach git as they are, whatever a shell would make of them", async () => {
  const gitDir = join(await repository(), ".git");
  const marker = join(await temporaryDirectory(), "marker");
  const text = `$(touch ${marker}); 'x' "y" \n *`;
  expect(await new Git().text(["rev-parse", "--sq-quote", text], { gitDir })).toContain("touch");
  expect(await new Git().text(["rev-parse", "--quiet", "--sq-quote", "-x"], { gitDir })).toContain("-x");
});

test("no protocol is open but those that are named", async () => {
  const url = await repository();
  const gitDir = join(await repository(), ".git");
  const list = (address: string, protocols: ("file" | "https")[]) => () =>
    new Git().run(["ls-remote", "--", address], { gitDir, protocols });
  expect(await endOf(list(url, ["file"]))).toBe("good");
  expect(await endOf(list(url, ["https"]))).toEqual({ kind: "exit", code: 128 });
  const marker = join(await temporaryDirectory(), "marker");
  expect(await endOf(list(`ext::touch ${marker}`, ["file", "https"]))).toEqual({ kind: "exit", code: 128 });
});

test("no hook of a repository runs", async () => {
  const directory = await repository();
  const hook = join(directory, ".git/hooks/reference-transaction");
  writeFileSync(hook, "#!/bin/sh\nexit 1\n");
  chmodSync(hook, 0o755);
  const gitDir = join(directory, ".git");
  expect(await endOf(() => new Git().run(["update-ref", "refs/heads/other", "HEAD"], { gitDir }))).toBe("good");
});

test("a process that takes too long is ended with all that it started", async () => {
  const stubborn = await program("trap '' TERM; sleep 1000 & wait");
  const end = await endOf(() => stubborn.run(["fetch"], { gitDir: undefined, timeoutMs: 100 }));
  expect(end).toEqual({ kind: "timeout", ms: 100 });
});

test("a process that writes too much is ended, and so is one that nobody wants any more", async () => {
  const flood = await program("yes");
  expect(await endOf(() => flood.run(["log"], { gitDir: undefined, maxOutputBytes: 1000 }))).toEqual({ kind: "output", bytes: 1000 });
  const controller = new AbortController();
  const running = endOf(() => flood.run(["log"], { gitDir: undefined, signal: controller.signal }));
  controller.abort();
  expect(await running).toEqual({ kind: "aborted" });
  expect(await endOf(() => flood.run(["log"], { gitDir: undefined, signal: AbortSignal.abort() }))).toEqual({ kind: "aborted" });
});

test("a flood on stderr is kept at its end only", async () => {
  const noisy = await program("yes error | head -c 3000000 >&2; echo last >&2; exit 3");
  const failure = await noisy.run(["x"], { gitDir: undefined }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(GitFailure);
  if (!(failure instanceof GitFailure)) return;
  expect(failure.stderr.length).toBeLessThan(20_000);
  expect(failure.stderr).toMatch(/last\n$/);
});

test("where git is missing, the error says so", async () => {
  const none = new Git({ path: "/nonexistent" });
  const error = await failureOf(() => none.run(["version"], { gitDir: undefined }));
  expect(error?.reason).toBe("git_missing");
  expect(await reasonOf(() => none.run(["version"], { gitDir: undefined }))).toBe("git_missing");
});

test("equal trees make equal commits, whenever they are made", async () => {
  const directory = await repository();
  const gitDir = join(directory, ".git");
  const tree = git(directory, "rev-parse", "HEAD^{tree}");
  const made = await new Git().text(["commit-tree", "-m", "x", tree], { gitDir });
  commit(directory);
  expect(await new Git().text(["commit-tree", "-m", "x", tree], { gitDir })).toBe(made);
});
