// Runs the baselines in a process that has loaded nothing: spawning gets slower as the parent's memory grows, so measuring it from
// inside the benchmark would flatter us. `job.ts` says what it is asked for and what it answers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { paced, timed } from "../pace.mjs";

process.on("message", (job) => {
  run(job).then(
    (samples) => process.send({ samples }),
    (error) => process.send({ error: String(error) }),
  );
});

async function run(job) {
  switch (job.kind) {
    case "spawn":
      return await paced(job.count, job.gapMs, spawnEcho);
    case "shell":
      return await inWarmShell(job.count, job.gapMs);
    case "burst":
      return [await timed(() => Promise.all(Array.from({ length: job.count }, spawnEcho)))];
    case "pipe":
      return [await timed(() => drain(job.bytes))];
    case "run":
      return await paced(job.count, 0, () => runProgram(job.argv));
    case "keys":
      return await typeKeys(job.count, job.gapMs);
    case "memory":
      return [process.memoryUsage.rss()];
    default:
      throw new Error(`no job ${job.kind}`);
  }
}

async function spawnEcho() {
  const child = spawn("/bin/bash", ["-c", "echo hi"], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (data) => {
    output += data.toString();
  });
  const [code] = await once(child, "close");
  if (code !== 0 || output !== "hi\n") throw new Error(`echo ended with ${code} and said ${JSON.stringify(output)}`);
}

async function runProgram([program, ...args]) {
  const [code] = await once(spawn(program, args, { stdio: "ignore" }), "close");
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
}

async function drain(bytes) {
  const child = spawn("head", ["-c", String(bytes), "/dev/zero"], { stdio: ["ignore", "pipe", "inherit"] });
  let got = 0;
  child.stdout.on("data", (data) => {
    got += data.length;
  });
  await once(child, "close");
  if (got !== bytes) throw new Error(`${got} of ${bytes} bytes came through the pipe`);
}

async function inWarmShell(count, gapMs) {
  const shell = spawn("/bin/bash", ["--norc", "--noprofile"], { stdio: ["pipe", "pipe", "inherit"] });
  await shellEcho(shell);
  const samples = await paced(count, gapMs, () => shellEcho(shell));
  shell.stdin.end();
  await once(shell, "close");
  return samples;
}

/** One command in a subshell; a line with its exit code tells its end. */
async function shellEcho(shell) {
  let output = "";
  const ended = new Promise((resolve, reject) => {
    shell.stdout.on("data", function read(data) {
      output += data.toString();
      if (!output.endsWith(":end\n")) return;
      shell.stdout.off("data", read);
      if (output === "hi\n0:end\n") resolve();
      else reject(new Error(`the warm shell said ${JSON.stringify(output)}`));
    });
  });
  shell.stdin.write("(eval 'echo hi')\necho $?:end\n");
  await ended;
}

/** The same program as in `terminal/keyboard.ts`. */
async function typeKeys(count, gapMs) {
  // Loaded here: other baselines need a process that has loaded nothing.
  const { spawn: spawnPty } = await import("node-pty");
  const program = ["-c", "stty -icanon; echo ready; exec cat >/dev/null"];
  const pty = spawnPty("/bin/bash", program, { name: "xterm-256color", cols: 80, rows: 24, encoding: null });
  let shown = "";
  let look = () => undefined;
  pty.onData((data) => {
    shown += data.toString("latin1");
    look();
  });
  const until = (expected) =>
    new Promise((resolve, reject) => {
      look = () => {
        if (shown === expected) {
          shown = "";
          resolve();
        } else if (!expected.startsWith(shown)) reject(new Error(`the PTY showed ${JSON.stringify(shown)}`));
      };
      look();
    });
  await until("ready\r\n");
  const samples = await paced(count, gapMs, () => {
    pty.write("x");
    return until("x");
  });
  const ended = new Promise((resolve) => pty.onExit(resolve));
  pty.kill("SIGKILL");
  await ended;
  return samples;
}
