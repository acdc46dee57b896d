import { appendFileSync, copyFileSync, cpSync, mkdirSync, readdirSync, readlinkSync, renameSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { type Leaf, type Ran, type RunOptions, runProgram, temporaryLeaf } from "./leaf.ts";

const REAL = join(import.meta.dirname, "../../..");
/** The rooms that a stack and its command are made of. */
const ROOMS = [
  "package.json",
  "tsconfig.json",
  "scripts",
  "proto",
  "kit",
  "session",
  "hands",
  "pi-fork",
  "brain",
  "dispatcher",
  "clients",
  "dist",
];
/** Packages that a stack loads at run time, or runs on; the others are the real ones. */
const OWN_PACKAGES = new Set(["node", "node-pty"]);

/** Where parts are meanwhile that were taken away. */
const AWAY = "away";

/** A checkout of its own, whose parts a test may take away. */
export class Checkout {
  readonly root: string;
  /** The real checkout's command, on the same state directory. */
  readonly leaf: Leaf;

  private constructor(root: string, leaf: Leaf) {
    this.root = root;
    this.leaf = leaf;
  }

  /** A copy of what a stack needs. Its stack is stopped before it is removed. */
  static async create(): Promise<Checkout> {
    const root = await temporaryDirectory();
    const checkout = new Checkout(root, await temporaryLeaf());
    const filter = (path: string): boolean => basename(path) !== "node_modules" && basename(path) !== "test";
    for (const room of ROOMS) cpSync(join(REAL, room), join(checkout.root, room), { recursive: true, preserveTimestamps: true, filter });
    checkout.installPackages();
    return checkout;
  }

  /** Run its `leaf`, on its Node. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const env = { LEAF_DIR: this.leaf.dir, LEAF_PORT: "0", ...options.env };
    return runProgram(this.path("node_modules/node/bin/node"), [this.path("clients/cli/bin/leaf.mjs"), ...args], { ...options, env });
  }

  /** Its own command's one document. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.run([...args, "--json"]);
    if (code !== 0) throw new Error(`leaf ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** Take away all that a build, an update or an installation replaces. */
  takeAway(): void {
    const parts = readdirSync(this.root).filter((part) => part !== ".versions");
    mkdirSync(this.path(AWAY));
    for (const part of parts) renameSync(this.path(part), this.path(`${AWAY}/${part}`));
  }

  /** Put another build in its place: the same, with other bytes. */
  update(): void {
    for (const part of readdirSync(this.path(AWAY))) renameSync(this.path(`${AWAY}/${part}`), this.path(part));
    for (const program of ["brain", "dispatcher", "hands"]) {
      const main = this.path(`dist/${program}/main.mjs`);
      copyFileSync(main, `${main}.new`);
      appendFileSync(`${main}.new`, "\n// Another build.\n");
      renameSync(`${main}.new`, main);
    }
  }

  /** Change what a source does, as far as its bundle can tell. */
  edit(source: string): void {
    appendFileSync(this.path(source), "\nprocess.title.trim();\n");
  }

  private path(part: string): string {
    return join(this.root, part);
  }

  private installPackages(): void {
    const packages = this.path("node_modules");
    mkdirSync(packages);
    for (const name of readdirSync(join(REAL, "node_modules"))) {
      const [from, to] = [join(REAL, "node_modules", name), join(packages, name)];
      if (OWN_PACKAGES.has(name)) cpSync(from, to, { recursive: true, verbatimSymlinks: true });
      else if (name !== "@serverless-harness" && !name.startsWith(".")) symlinkSync(from, to);
    }
    const rooms = join(REAL, "node_modules/@serverless-harness");
    mkdirSync(join(packages, "@serverless-harness"));
    for (const room of readdirSync(rooms)) symlinkSync(readlinkSync(join(rooms, room)), join(packages, "@serverless-harness", room));
  }
}
