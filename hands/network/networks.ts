import { existsSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AllowedHosts } from "@serverless-harness/kit/address-rule";
import { ConfigError } from "@serverless-harness/kit/env";
import type { Logger } from "@serverless-harness/kit/log";
import type { Shown } from "../jail/command-jail.ts";
import { findProgram, isExecutable } from "../process/system-files.ts";
import { Network, type NetworkPrograms } from "./network.ts";
import { NAME_SERVER, reachOf } from "./rules.ts";

/** What the programs of workspaces reach. */
export interface WorkspaceNetworks {
  /**
   * A program and its arguments to run a program by, so that it and all that it starts are in the workspace's
   * network. Empty if it is hands' own.
   */
  enter(workspace: { readonly name: string }): readonly string[];
  /** What the jail in it shows. */
  readonly shown: readonly Shown[];
  close(): Promise<void>;
}

/** Commands are in the network that hands is in. */
export const sharedNetwork: WorkspaceNetworks = { enter: () => [], shown: [], close: async () => undefined };

interface NetworksOptions {
  readonly programs: NetworkPrograms;
  /** Out of the reach of commands: holds the socket that networks are asked for on, and what commands see as their resolv.conf. */
  readonly directory: string;
  readonly allowed: AllowedHosts;
  readonly log: Logger;
}

const RESOLVER = "/etc/resolv.conf";
/** Longest question on the socket. */
const MAX_QUESTION = 4096;

/**
 * A network for each workspace that has processes: made when the first of them starts, some 30 ms, and gone with the
 * last. They ask for it themselves, by the program that {@link enter} names, so that whatever starts one waits for
 * nothing.
 */
export class PublicNetworks implements WorkspaceNetworks {
  readonly shown: readonly Shown[];
  readonly #options: NetworksOptions;
  readonly #socket: string;
  /** What commands see as {@link RESOLVER}. */
  readonly #resolver: string;
  readonly #server: Server;
  readonly #networks = new Map<string, Promise<Network>>();

  private constructor(options: NetworksOptions) {
    this.#options = options;
    this.#socket = join(options.directory, "network.sock");
    this.#resolver = join(options.directory, "resolv.conf");
    // A machine that asks no name server has none to be replaced.
    this.shown = existsSync(RESOLVER) ? [{ from: this.#resolver, to: RESOLVER, writable: false }] : [];
    this.#server = createServer((socket) => this.#answer(socket));
  }

  /** Throws a {@link ConfigError} if no network can be made, which one is made for to see. */
  static async open(options: NetworksOptions): Promise<PublicNetworks> {
    const networks = new PublicNetworks(options);
    await networks.#tryOut();
    writeFileSync(networks.#resolver, `nameserver ${NAME_SERVER}\n`, { mode: 0o644 });
    await rm(networks.#socket, { force: true });
    const umask = process.umask(0o177);
    const listening = new Promise<void>((resolve, reject) => {
      networks.#server.once("error", reject).listen(networks.#socket, resolve);
    });
    process.umask(umask);
    await listening;
    return networks;
  }

  enter(workspace: { readonly name: string }): string[] {
    return [this.#options.programs.network, "enter", this.#socket, workspace.name];
  }

  async close(): Promise<void> {
    this.#server.close();
    await Promise.all([...this.#networks.values()].map(async (network) => (await network).close()));
  }

  async #tryOut(): Promise<void> {
    const network = await this.#make();
    try {
      await network.ready;
    } catch (error) {
      throw new ConfigError(
        `a workspace can't have a network of its own here (${error instanceof Error ? error.message : error}): install slirp4netns and nftables ` +
          "and let hands open /dev/net/tun, or choose HANDS_NETWORK=none (commands reach nothing) or HANDS_NETWORK=host (all that this machine reaches)",
      );
    }
    await network.close();
  }

  async #make(): Promise<Network> {
    return new Network(this.#options.programs, await reachOf(this.#options.allowed, this.#options.log));
  }

  #answer(socket: Socket): void {
    let question = "";
    socket.on("error", () => undefined);
    socket.setEncoding("utf8").on("data", (text: string) => {
      question += text;
      if (question.length > MAX_QUESTION) return void socket.destroy();
      const [, name, pid] = /^(.*) (\d+)\n$/.exec(question) ?? [];
      if (name === undefined) return;
      this.#admit(name, Number(pid)).then(
        (maker) => socket.end(String(maker)),
        (error: unknown) => {
          this.#options.log.error({ workspace: name, err: error }, "a workspace has no network: nothing can run in it");
          socket.end(`!${error instanceof Error ? error.message : error}`);
        },
      );
    });
  }

  /** The process that made the network of a workspace, once another may enter. */
  async #admit(name: string, pid: number): Promise<number> {
    for (;;) {
      const network = await this.#of(name);
      if (await network.admit(pid)) return network.pid;
      // It ended with the last one that was in it.
      await network.ended;
    }
  }

  #of(name: string): Promise<Network> {
    const known = this.#networks.get(name);
    if (known !== undefined) return known;
    const made = this.#make();
    this.#networks.set(name, made);
    const forget = (): void => {
      if (this.#networks.get(name) === made) this.#networks.delete(name);
    };
    made.then(({ ended }) => ended).then(forget, forget);
    return made;
  }
}

/** The programs that networks are made with. A {@link ConfigError} that says how to get them if one is missing. */
export function networkPrograms(): NetworkPrograms {
  const network = fileURLToPath(new URL("./build/network", import.meta.url));
  if (!isExecutable(network))
    throw new ConfigError(`${network} is missing: build it with \`sh hands/network/build.sh\` (npm run setup does so)`);
  return { network, slirp4netns: find("slirp4netns", "slirp4netns"), nft: find("nft", "nftables") };
}

function find(name: string, debianPackage: string): string {
  const found = findProgram(name);
  if (found !== undefined) return found;
  throw new ConfigError(
    `${name} is not installed: install it (Debian: apt-get install ${debianPackage}), or choose HANDS_NETWORK=none (commands reach nothing) ` +
      "or HANDS_NETWORK=host (all that this machine reaches)",
  );
}
