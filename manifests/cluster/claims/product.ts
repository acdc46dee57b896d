import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Claims, time } from "../../../scripts/demo/claims.ts";
import { ROOT } from "../../../scripts/run.ts";
import { run } from "../command.ts";
import type { Kubectl } from "../kubectl.ts";
import { makeNamespace, RESTRICTED } from "./world.ts";

const INSTALLED = "serverless-harness";
const CALLERS = "cluster-callers";
const DISPATCHER = `https://dispatcher.${INSTALLED}.svc:7433`;
const NODE = "/opt/leaf/bin/node";
/** Turns that are under way while pods are killed. */
const TURNS = 12;

/** What of `npm run images` is needed. */
export const INSTALLED_IMAGES = ["dispatcher", "brain", "hands", "model", "redis"];

/** What the dispatcher answers to `/turn`. */
interface Turn {
  readonly sessionId?: string;
  readonly response?: string;
  readonly error?: string;
}

/** An installation of our own manifests and images, with a stand-in model. */
export async function checkProduct(kubectl: Kubectl, claims: Claims): Promise<void> {
  await removeProduct(kubectl);
  await claims.check("our manifests and images are an installation whose pods are ready under `restricted`", async () => {
    const startedAtMs = performance.now();
    await install(kubectl);
    const tookMs = Math.round(performance.now() - startedAtMs);
    const pods = await kubectl.run("get", "pods", `--namespace=${INSTALLED}`, "-o", "jsonpath={.items[*].metadata.name}");
    return { holds: true, seen: `${pods.split(" ").length} pods after ${time(tookMs)}: ${pods}`, measured: { tookMs } };
  });
  await claims.check("a caller's turn runs a command in sandbox-0, and the session's next turn remembers", async () => {
    const first = await turn(kubectl, { prompt: "Remember the secret word: heron" }, "first");
    const second = await turn(kubectl, { prompt: "Run: hostname; id -u", sessionId: first.sessionId ?? "" }, "second");
    const third = await turn(kubectl, { prompt: "What was the secret word?", sessionId: first.sessionId ?? "" }, "third");
    const holds = /sandbox-0\n65532/.test(second.response ?? "") && third.response?.includes("heron") === true;
    return { holds, seen: JSON.stringify([second.response ?? second.error, third.response ?? third.error]), measured: {} };
  });
  await checkEdges(kubectl, claims);
  await checkKills(kubectl, claims);
}

/** Remove the installation with its volumes, if it is there. */
export async function removeProduct(kubectl: Kubectl): Promise<void> {
  await kubectl.run("delete", "namespace", INSTALLED, CALLERS, "--ignore-not-found", "--timeout=120s");
}

/** As manifests/README.md says. */
async function install(kubectl: Kubectl): Promise<void> {
  const manifests = join(ROOT, "manifests");
  await kubectl.run("apply", "-f", join(manifests, "base", "namespace.yaml"));
  const env = { ANTHROPIC_BASE_URL: "http://model:7440", ANTHROPIC_AUTH_TOKEN: "any" };
  const args = [join(manifests, "secrets.ts"), "--model-env", "ANTHROPIC_BASE_URL", "--model-env", "ANTHROPIC_AUTH_TOKEN"];
  const secrets = JSON.parse(await run(process.execPath, args, { env })) as { items: Secret[] };
  await kubectl.applied(...secrets.items);
  await kubectl.run("apply", "-k", join(manifests, "overlays", "test"));
  const of = (name: string): Record<string, string> => secrets.items.find(({ metadata }) => metadata.name === name)?.stringData ?? {};
  await makeCaller(kubectl, of("dispatcher")["token"] ?? "", of("dispatcher-tls")["ca.crt"] ?? "");
  for (const owner of ["deployment/dispatcher", "deployment/brain", "deployment/model", "statefulset/redis", "statefulset/sandbox"])
    await kubectl.run("rollout", "status", owner, `--namespace=${INSTALLED}`, "--timeout=180s");
}

interface Secret {
  readonly metadata: { readonly name: string };
  readonly stringData: Readonly<Record<string, string>>;
}

/** A pod in a namespace that may call the dispatcher. Its token is in a file: what is executed in a pod stands in the server's log. */
async function makeCaller(kubectl: Kubectl, token: string, authority: string): Promise<void> {
  await makeNamespace(kubectl, CALLERS, { "serverless-harness/calls-dispatcher": "true" });
  const metadata = { name: "caller", namespace: CALLERS };
  await kubectl.applied(
    { apiVersion: "v1", kind: "Secret", metadata, stringData: { header: `Authorization: Bearer ${token}\n`, "ca.crt": authority } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata,
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 1,
        securityContext: { ...RESTRICTED.pod, fsGroup: 65532 },
        volumes: [{ name: "secret", secret: { secretName: "caller", defaultMode: 0o440 } }],
        containers: [
          {
            name: "caller",
            image: "dev.local/serverless-harness/hands:dev",
            imagePullPolicy: "IfNotPresent",
            command: ["sleep", "infinity"],
            securityContext: RESTRICTED.container,
            volumeMounts: [{ name: "secret", mountPath: "/caller", readOnly: true }],
          },
        ],
      },
    },
  );
  await kubectl.run("wait", "--for=condition=Ready", "pod/caller", `--namespace=${CALLERS}`, "--timeout=120s");
}

/** One turn, by `curl` in the caller's pod: asked again with the same key, it is the same turn. What it answers to earlier tries is not written. */
async function turn(kubectl: Kubectl, body: Readonly<Record<string, string>>, key: string): Promise<Turn> {
  const again = ["--retry", "60", "--retry-all-errors", "--retry-delay", "1", "--connect-timeout", "5"];
  const headers = ["-H", "@/caller/header", "-H", "Content-Type: application/json", "-H", `Idempotency-Key: ${key}`];
  const curl = [
    "curl",
    "-sS",
    "--fail",
    "--cacert",
    "/caller/ca.crt",
    ...again,
    ...headers,
    "-d",
    JSON.stringify(body),
    `${DISPATCHER}/turn`,
  ];
  const { stdout, stderr } = await kubectl.attempt("exec", "caller", `--namespace=${CALLERS}`, "--", ...curl);
  try {
    return JSON.parse(stdout) as Turn;
  } catch {
    return { error: `${stdout}${stderr}`.trim() };
  }
}

/** Who may call whom: each allowed edge and, for each pod, others that have to be refused. */
const EDGES: ReadonlyArray<readonly [from: string, to: string, port: number, isAllowed: boolean]> = [
  ["dispatcher", "redis", 6379, true],
  ["dispatcher", "sandbox", 7434, true],
  ["dispatcher", "brain", 7437, true],
  ["dispatcher", "model", 7440, false],
  ["brain", "redis", 6379, true],
  ["brain", "sandbox", 7434, true],
  ["brain", "dispatcher", 7433, true],
  ["brain", "model", 7440, true],
  ["brain", "dispatcher", 7435, false],
  ["sandbox", "dispatcher", 7433, true],
  ["sandbox", "redis", 6379, false],
  ["sandbox", "brain", 7437, false],
  ["sandbox", "model", 7440, false],
  ["sandbox", "dispatcher", 7435, false],
  ["model", "redis", 6379, false],
  ["model", "sandbox", 7434, false],
  ["model", "dispatcher", 7433, false],
  ["caller", "dispatcher", 7433, true],
  ["caller", "redis", 6379, false],
  ["caller", "sandbox", 7434, false],
  ["caller", "brain", 7437, false],
];

/** Says whether a port of an address takes a connection within three seconds. */
const CONNECT = `
const [address, port] = process.argv.slice(1);
const socket = require("node:net").connect(Number(port), address);
const say = (text) => { console.log(text); process.exit(0); };
socket.once("connect", () => say("open")).once("error", () => say("closed"));
setTimeout(() => say("closed"), 3000);
`;

async function checkEdges(kubectl: Kubectl, claims: Claims): Promise<void> {
  await claims.check("each network edge that is allowed works, and each other one is refused, from inside our own pods", async () => {
    const addressOf = async (name: string): Promise<string> => (await podOf(kubectl, name, "{.items[0].status.podIP}")).trim();
    const wrong: string[] = [];
    for (const [from, to, port, isAllowed] of EDGES) {
      const [namespace, pod] = from === "caller" ? [CALLERS, "caller"] : [INSTALLED, await podOf(kubectl, from)];
      const call = [NODE, "-e", CONNECT, await addressOf(to), String(port)];
      const { stdout, stderr } = await kubectl.attempt("exec", pod, `--namespace=${namespace}`, "--", ...call);
      const wanted = isAllowed ? "open" : "closed";
      if (stdout.trim() !== wanted) wrong.push(`${from} to ${to}:${port} is ${stdout.trim() || stderr.trim()}, not ${wanted}`);
    }
    const allowed = EDGES.filter(([, , , isAllowed]) => isAllowed).length;
    const seen = wrong.length === 0 ? `${allowed} open, ${EDGES.length - allowed} refused` : wrong.join("; ");
    return { holds: wrong.length === 0, seen, measured: { edges: EDGES.length } };
  });
}

/** A field of the pods of a service of ours, by default the name of the first. */
async function podOf(kubectl: Kubectl, name: string, field = "{.items[0].metadata.name}"): Promise<string> {
  const selector = `--selector=app.kubernetes.io/name=${name}`;
  return await kubectl.run("get", "pods", `--namespace=${INSTALLED}`, selector, "-o", `jsonpath=${field}`);
}

async function checkKills(kubectl: Kubectl, claims: Claims): Promise<void> {
  const killed = ["brain", "dispatcher", "redis", "sandbox"];
  await claims.check(
    `pods of ${killed.join(", ")} are killed under ${TURNS} turns: each is answered, and no command runs twice`,
    async () => {
      const startedAtMs = performance.now();
      const turns = Array.from({ length: TURNS }, (_, i) =>
        turn(kubectl, { prompt: "Run: echo x >>ran; sleep 6; wc -l <ran" }, `killed-${startedAtMs}-${i}`),
      );
      for (const name of killed) {
        await pause(2500);
        const pod = await podOf(kubectl, name);
        // Not --force: the API server would forget a pod that still runs, and a second Redis would write to the files of the first.
        await kubectl.run("delete", "pod", pod, `--namespace=${INSTALLED}`, "--grace-period=1");
      }
      const answers = await Promise.all(turns);
      const tookMs = Math.round(performance.now() - startedAtMs);
      const failed = answers.filter(({ response }) => response === undefined);
      // What became of each command, asked of its workspace.
      const counts = await Promise.all(
        answers.map(async ({ sessionId = "" }, i) => {
          const counted = await turn(kubectl, { prompt: "Run: cat ran | wc -l", sessionId }, `counted-${startedAtMs}-${i}`);
          return { count: /\n(\d+)\s*$/.exec(counted.response ?? "")?.[1], said: counted.response ?? counted.error };
        }),
      );
      const once = counts.filter(({ count }) => count === "1").length;
      const never = counts.filter(({ count }) => count === "0").length;
      const odd = counts.flatMap(({ count, said = "" }) => (count === "0" || count === "1" ? [] : [JSON.stringify(said.slice(0, 300))]));
      const ran = `${once} commands ran once, ${never} were lost with the sandbox before they began`;
      const problems = [...failed.map(({ error }) => error ?? "no answer"), ...odd];
      const seen = problems.length === 0 ? `all answered after ${time(tookMs)}; ${ran}` : `${ran}; ${problems.join("; ")}`;
      return { holds: failed.length === 0 && once + never === TURNS && once > 0, seen, measured: { tookMs, once, never } };
    },
  );
}
