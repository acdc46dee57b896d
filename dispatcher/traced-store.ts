import { requestTraceParent } from "@serverless-harness/kit/tracing/trace-parent";
import type { Tracing } from "@serverless-harness/kit/tracing/tracing";
import { LeafKindSchema } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { overriding } from "./overriding.ts";

/** A store whose leaves carry the trace of the request that submits them, each submission of which is a span. */
export function tracedStore(inner: LeafStore, tracing: Tracing): LeafStore {
  return overriding<LeafStore>(inner, {
    submit: async (leaf) => {
      const { tenant, kind } = leaf.spec;
      const span = tracing.begin("submit leaf", {
        kind: "server",
        parent: requestTraceParent(),
        attributes: { "leaf.tenant": tenant, "leaf.kind": LeafKindSchema.value[kind]?.localName ?? "" },
      });
      try {
        const answer = await inner.submit({ ...leaf, spec: { ...leaf.spec, traceParent: span.traceParent } });
        span.set({ "leaf.id": answer.leaf.leafId, "leaf.created": answer.created });
        span.end();
        return answer;
      } catch (error) {
        span.end(error instanceof Error ? error.name : "error");
        throw error;
      }
    },
  });
}
