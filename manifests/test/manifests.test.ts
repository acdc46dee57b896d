import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { V1Container, V1NetworkPolicySpec, V1PodSpec, V1PodTemplateSpec, V1ServiceSpec } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { RULES } from "./fixtures/hardening.ts";
import { makeSecrets, OVERLAYS, podTemplates, render } from "./fixtures/render.ts";
import { problemsOf } from "./fixtures/schema.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Variables of Node, and of the model's provider. */
const FOREIGN = new Set(["NODE_EXTRA_CA_CERTS"]);

const KNATIVE = "serving.knative.dev/v1";
/** Those of the container that Knative puts into a brain's pod, which a policy may name: calls go through it. */
const QUEUE_PROXY_PORTS = ["queue-port", "http-autometric"];

/** Every variable that a page of ours tells of. */
function documented(): Set<string> {
  const pages = ["dispatcher/README.md", "hands/README.md", "docs/brain.md", "kit/stand-in-model/config.ts"];
  return new Set(pages.flatMap((page) => readFileSync(join(ROOT, page), "utf8").match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g) ?? []));
}

const labelsOf = (template: V1PodTemplateSpec): Record<string, string> => template.metadata?.labels ?? {};
const matches = (wanted: Record<string, string> = {}, labels: Record<string, string>): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value);
const namedPorts = ({ containers }: V1PodSpec): (string | number)[] =>
  containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ name, containerPort }) => [...(name === undefined ? [] : [name]), containerPort]),
  );
const specOf = (template: V1PodTemplateSpec): V1PodSpec => {
  if (template.spec === undefined) throw new Error("a template without a pod");
  return template.spec;
};

describe.each(OVERLAYS)("overlay %s", (overlay) => {
  test("has objects that the API server knows, with fields that it knows, in one namespace", async () => {
    const objects = await render(overlay);
    expect(objects.length).toBeGreaterThan(15);
    expect(objects.flatMap((object) => problemsOf(object))).toEqual([]);
    const outside = objects.filter(({ kind, metadata }) => kind !== "Namespace" && metadata.namespace !== "serverless-harness");
    expect(outside).toEqual([]);
  });

  test("has no secret in it", async () => {
    expect((await render(overlay)).filter(({ kind }) => kind === "Secret")).toEqual([]);
  });

  test("hardens each pod", async () => {
    for (const [name, template] of await podTemplates(overlay))
      for (const rule of RULES) expect(rule.holds(specOf(template)), `${name}: ${rule.name}`).toBe(true);
  });

  test("gives pods variables that exist, and files that are mounted and in the secrets", async () => {
    const known = documented();
    const secrets = await makeSecrets();
    for (const [name, template] of await podTemplates(overlay)) {
      const pod = specOf(template);
      for (const container of pod.containers) {
        const variables = (container.env ?? []).map((variable) => variable.name);
        expect(
          variables.filter((variable) => !known.has(variable) && !FOREIGN.has(variable)),
          name,
        ).toEqual([]);
        expect(missingFiles(pod, container, secrets), name).toEqual([]);
        for (const { secretKeyRef } of (container.env ?? []).flatMap(({ valueFrom }) => valueFrom ?? []))
          if (secretKeyRef !== undefined) expect(secrets[secretKeyRef.name ?? ""], name).toHaveProperty(secretKeyRef.key);
      }
    }
  });

  test("names ports that there are, in services, probes and network policies", async () => {
    const objects = await render(overlay);
    const templates = await podTemplates(overlay);
    const selected = (wanted: Record<string, string> | undefined): V1PodTemplateSpec[] =>
      templates.map(([, template]) => template).filter((template) => matches(wanted, labelsOf(template)));
    for (const { apiVersion, kind, metadata, spec } of objects) {
      if (kind === "Service" && apiVersion === "v1") {
        const { selector, ports = [] } = spec as unknown as V1ServiceSpec;
        const pods = selected(selector);
        expect(pods, metadata.name).toHaveLength(1);
        for (const { targetPort } of ports)
          expect(
            pods.flatMap((pod) => namedPorts(specOf(pod))),
            metadata.name,
          ).toContain(targetPort);
      }
      if (kind !== "NetworkPolicy") continue;
      const { podSelector, ingress = [], egress = [] } = spec as unknown as V1NetworkPolicySpec;
      const here = selected(podSelector?.matchLabels);
      const isKnative = objects.some(({ apiVersion: version, metadata: { name } }) => version === KNATIVE && name === metadata.name);
      const proxy = isKnative ? QUEUE_PROXY_PORTS : [];
      expect(here.length, `${metadata.name} is for nobody`).toBeGreaterThan(0);
      for (const { ports = [] } of ingress)
        for (const { port } of ports) expect([...here.flatMap((pod) => namedPorts(specOf(pod))), ...proxy]).toContain(port);
      for (const { to = [], ports = [] } of egress) {
        const inside = to.filter(({ podSelector: pods, namespaceSelector }) => pods !== undefined && namespaceSelector === undefined);
        for (const { podSelector: pods } of inside) {
          const there = selected(pods?.matchLabels);
          expect(there.length, `${metadata.name} leads to nobody`).toBeGreaterThan(0);
          for (const { port } of ports)
            expect(
              there.flatMap((pod) => namedPorts(specOf(pod))),
              metadata.name,
            ).toContain(port);
        }
      }
    }
    for (const [name, template] of templates) {
      const pod = specOf(template);
      for (const { livenessProbe, readinessProbe } of pod.containers)
        for (const probe of [livenessProbe, readinessProbe]) {
          if (probe === undefined) continue;
          const port = probe.httpGet?.port ?? probe.tcpSocket?.port ?? probe.grpc?.port;
          expect(namedPorts(pod), name).toContain(port);
          if (probe.httpGet !== undefined) expect(["/livez", "/healthz"], name).toContain(probe.httpGet.path);
        }
    }
  });

  test("opens nothing that another policy closes: each pod is under the policy that denies all", async () => {
    const objects = await render(overlay);
    const all = objects.filter(({ kind, spec }) => kind === "NetworkPolicy" && Object.keys(spec?.["podSelector"] ?? {}).length === 0);
    expect(all.map(({ spec }) => spec)).toEqual([{ podSelector: {}, policyTypes: ["Ingress", "Egress"] }]);
  });
});

test.each(RULES)("a pod of which it is not true that $name is noticed", async (rule) => {
  const [[, template] = ["", {}]] = await podTemplates("plain");
  const pod = structuredClone(specOf(template));
  expect(rule.holds(pod)).toBe(true);
  rule.break(pod);
  expect(rule.holds(pod)).toBe(false);
});

test("a misspelt field, a value of another type and a kind that is not known are noticed", async () => {
  const dispatcher = (await render("plain")).find(({ kind, metadata }) => kind === "Deployment" && metadata.name === "dispatcher");
  if (dispatcher === undefined) throw new Error("a dispatcher is expected");
  const wrong = structuredClone(dispatcher) as unknown as { spec: { replicas: unknown; template: { spec: { containers: object[] } } } };
  wrong.spec.replicas = "2";
  Object.assign(wrong.spec.template.spec.containers[0] ?? {}, { portz: [] });
  expect(problemsOf(wrong as never)).toEqual([
    "Deployment.spec.replicas must be a number",
    "Deployment.spec.template.spec.containers[0].portz is not known",
  ]);
  expect(problemsOf({ ...dispatcher, kind: "Deploymnet" })).toEqual(["apps/v1 Deploymnet is not known"]);
});

test("a field that another controller does not know is noticed, and a kind of its that only bears the name of one of Kubernetes'", async () => {
  const brain = (await render("knative")).find(({ apiVersion, kind }) => apiVersion === KNATIVE && kind === "Service");
  const scaled = (await render("keda")).find(({ kind }) => kind === "ScaledObject");
  if (brain === undefined || scaled === undefined) throw new Error("a Knative service and a ScaledObject are expected");
  expect(problemsOf({ ...brain, spec: { ...brain.spec, selector: {} } })).toEqual(["Service.spec.selector is not known"]);
  expect(problemsOf({ ...scaled, spec: { ...scaled.spec, minReplicas: 0 } })).toEqual(["ScaledObject.spec.minReplicas is not known"]);
  expect(problemsOf({ ...brain, apiVersion: "serving.example/v1" })).toEqual(["serving.example/v1 Service is not known"]);
});

test("KEDA asks at a port of the dispatcher's service, with a certificate that the secrets have", async () => {
  const objects = await render("keda");
  const specs = (kind: string): unknown[] => objects.filter((each) => each.kind === kind).map(({ spec }) => spec);
  const [scaled] = specs("ScaledObject") as { triggers: { metadata: { scalerAddress: string } }[] }[];
  const service = objects.find(({ kind, metadata }) => kind === "Service" && metadata.name === "dispatcher")?.spec as
    | V1ServiceSpec
    | undefined;
  expect(scaled?.triggers.map(({ metadata }) => metadata.scalerAddress)).toEqual(
    (service?.ports ?? []).filter(({ name }) => name === "scaler").map(({ port }) => `dispatcher.serverless-harness.svc:${port}`),
  );
  const [authentication] = specs("TriggerAuthentication") as { secretTargetRef: { name: string; key: string }[] }[];
  const secrets = await makeSecrets();
  for (const { name, key } of authentication?.secretTargetRef ?? []) expect(Object.keys(secrets[name] ?? {})).toContain(key);
});

test("images that are ours have a Containerfile", async () => {
  for (const overlay of OVERLAYS)
    for (const [, template] of await podTemplates(overlay))
      for (const { image = "" } of specOf(template).containers) {
        const [, name] = /serverless-harness\/([a-z-]+)(?::|$)/.exec(image) ?? [];
        if (name !== undefined) expect(readdirSync(join(ROOT, "manifests/images")), image).toContain(name);
      }
});

/** Files that variables name and that no secret of a mounted volume has; directories of volumes count as there. */
function missingFiles(pod: V1PodSpec, container: V1Container, secrets: Record<string, Record<string, string>>): string[] {
  const mounts = container.volumeMounts ?? [];
  const paths = [...(container.env ?? []).map(({ value }) => value ?? ""), ...(container.args ?? [])]
    .map((text) => text.replace(/^file:\/\//, ""))
    .filter((text) => text.startsWith("/"));
  return paths.filter((path) => {
    const mount = mounts.find(({ mountPath }) => path === mountPath || path.startsWith(`${mountPath}/`));
    const volume = pod.volumes?.find(({ name }) => name === mount?.name);
    if (mount === undefined) return true;
    const secret = volume?.secret?.secretName;
    return secret !== undefined && secrets[secret]?.[path.slice(mount.mountPath.length + 1)] === undefined;
  });
}
