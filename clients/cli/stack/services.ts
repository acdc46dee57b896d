import { pathToFileURL } from "node:url";
import { compiledSources } from "@serverless-harness/kit/compiled";
import type { Environment } from "../config.ts";
import { answers, isServing } from "./health.ts";
import { modelEnvironment } from "./model.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import type { StackPlan } from "./plan.ts";
import { STACK_MARK } from "./processes.ts";
import { bundleOf, type Version } from "./programs.ts";

/** How a service of the stack is started, and how to find out whether it works. */
export interface ServiceSpec {
  readonly name: ServiceName;
  readonly version: Version;
  /** Its program, relative to the root of the version. */
  readonly program: string;
  readonly environment: Environment;
  /** The variable that says where it listens. */
  readonly listen: string;
  /** Where it listens. `undefined`: on a free port, which it announces in its log. */
  readonly address: string | undefined;
  readonly settings: Readonly<Record<string, string>>;
  isHealthy(address: string): Promise<boolean>;
}

/** Variables that a service without secrets may see. */
const HARMLESS = ["PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LOG_LEVEL"];

/**
 * The daemon of a sandbox, which may wake the dispatcher on `port`; 0: on whichever port the dispatcher chooses. It gets
 * only harmless variables of the user: whatever it knew, a command could find out.
 */
export function sandboxService(plan: StackPlan, service: ServiceName, port: number): ServiceSpec {
  const { paths, version, environment, sandbox, network, repositories } = plan;
  const { socket, workspaces, state } = paths.sandbox(service);
  return {
    name: service,
    version,
    program: bundleOf("hands"),
    environment: {
      ...harmless(environment),
      ...own(paths, version),
      HANDS_LISTEN: `unix:${socket}`,
      HANDS_PUBLIC_KEY_FILE: paths.publicKey,
      HANDS_WORKSPACES: workspaces,
      HANDS_STATE: state,
      ...(service === "hands" ? {} : sharedArtifacts(paths)),
      HANDS_SANDBOX: sandbox,
      HANDS_NETWORK: network,
      HANDS_LOCAL_REPOSITORIES: repositories,
      HANDS_NOTIFY_URL: `http://127.0.0.1:${port === 0 ? "*" : port}/wake`,
      ...pick(environment, ["HANDS_PRIVATE_HOSTS"]),
    },
    listen: "HANDS_LISTEN",
    address: `unix:${socket}`,
    settings: { sandbox, network, repositories },
    isHealthy: (address) => isServing(address),
  };
}

/** The first sandbox keeps its snapshots there by itself, and makes the key when it starts: before the others do. */
function sharedArtifacts({ artifacts, artifactsKey }: StackPaths): Environment {
  return { HANDS_ARTIFACTS: pathToFileURL(artifacts).href, HANDS_ARTIFACTS_KEY_FILE: artifactsKey };
}

/** The stand-in model. `address`: where it listened before, so that a dispatcher that knows it finds it again. */
export function modelService({ paths, version, environment }: StackPlan, address: string | undefined): ServiceSpec {
  return {
    name: "model",
    version,
    program: bundleOf("model"),
    environment: {
      ...harmless(environment),
      ...own(paths, version),
      ...(address === undefined ? {} : { MODEL_LISTEN: address }),
    },
    listen: "MODEL_LISTEN",
    address,
    settings: {},
    isHealthy: (url) => answers(`${url}/requests`),
  };
}

/** The dispatcher, and through it the brains, which need the user's variables for their model. */
export function dispatcherService(plan: StackPlan, token: string, port: number, standInUrl: string): ServiceSpec {
  const { paths, version, model, store } = plan;
  const listen = `http://127.0.0.1:${port}`;
  return {
    name: "dispatcher",
    version,
    program: bundleOf("dispatcher"),
    environment: {
      ...modelEnvironment(model, plan.environment, standInUrl),
      ...own(paths, version),
      LEAF_STORE: store.url,
      DISPATCHER_LISTEN: listen,
      DISPATCHER_TOKEN_FILE: paths.token,
      DISPATCHER_SIGNING_KEYS_FILE: paths.signingKeys,
      DISPATCHER_AUDIT_FILE: paths.auditLog,
      DISPATCHER_WAKER: "local",
      DISPATCHER_BRAIN_LOG: paths.log("brain"),
      ...(plan.isPool ? { HANDS_URL: "pool", DISPATCHER_SANDBOXES: paths.pool } : { HANDS_URL: `unix:${paths.handsSocket}` }),
      HANDS_PRIVATE_KEY_FILE: paths.privateKey,
      BRAIN_TOKEN_FILE: paths.brainToken,
    },
    listen: "DISPATCHER_LISTEN",
    address: port === 0 ? undefined : listen,
    settings: { model: model.model, standIn: String(model.standIn), store: store.name, pool: String(plan.isPool) },
    isHealthy: (address) => isServing(address, token),
  };
}

/** What every process of a stack gets: the mark by which it is found, and the cache of compiled sources. */
function own(paths: StackPaths, version: Version): Environment {
  return { [STACK_MARK]: paths.dir, ...compiledSources(version.root) };
}

export function harmless(environment: Environment): Environment {
  return pick(environment, HARMLESS);
}

export function pick(environment: Environment, names: readonly string[]): Environment {
  return Object.fromEntries(names.map((name) => [name, environment[name]]).filter(([, value]) => value !== undefined));
}
