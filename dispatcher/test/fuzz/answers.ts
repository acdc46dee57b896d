import type { Ids } from "./plants.ts";
import type { Answer } from "./wire.ts";

/** gRPC's UNKNOWN, INTERNAL and DATA_LOSS: nothing that a client sends may lead there. */
const FAULTS: ReadonlySet<string> = new Set(["2", "13", "15"]);
const FAULT_WORDS = /"(?:code|error)":"(?:internal|unknown|data_loss)"|grpc-status: ?(?:2|13|15)\b/i;
/** HTTP/2: no error, refused by its client's size, cancelled, and calmed down. */
const PLAIN_RESETS: ReadonlySet<number> = new Set([0, 7, 8, 11]);

/** What a stream says at its end; before that may be any number of messages that keep it alive. */
const AT_END = /(?:grpc-message|grpc-status|"error")[\s\S]*$/;

/**
 * A request in no form that its path takes: Connect has no code for that, so it is UNKNOWN, with words that say what to do. A compressed message
 * without the name of a compression has to be INTERNAL (gRPC's PROTOCOL-HTTP2 and its page on compression).
 */
function isOfNoForm({ headers, body }: Answer): boolean {
  const told = `${headers["grpc-message"] ?? ""} ${body.toString("latin1")}`.replaceAll("%20", " ");
  return /takes the content type|is called by POST|compressed (?:message|envelope)|no compression was agreed on/.test(told);
}

/** What is wrong with an answer as such; `undefined`: nothing. */
export function fault(answer: Answer): string | undefined {
  const { status, headers, body, resetBy } = answer;
  if (status >= 500 && ![501, 503, 505].includes(status)) return `status ${status}`;
  if (!PLAIN_RESETS.has(resetBy)) return `the stream was reset by error ${resetBy}`;
  if (isOfNoForm(answer)) return undefined;
  if (FAULTS.has(headers["grpc-status"] ?? "")) return `grpc-status ${headers["grpc-status"]}`;
  const words = FAULT_WORDS.exec(body.toString("latin1"))?.[0];
  return words === undefined ? undefined : `it says ${words}`;
}

/** All that is in an answer, with what is in base64 in it. */
export function everythingIn({ headers, body }: Answer): string {
  const text = `${JSON.stringify(headers)}\n${body.toString("latin1")}`;
  const encoded = text.match(/[A-Za-z0-9+/_-]{16,}={0,2}/g) ?? [];
  return [text, ...encoded.map((part) => Buffer.from(part, "base64").toString("latin1"))].join("\n");
}

/** What of an answer may not depend on whether an id is somebody else's or nobody's. Of answers that bring something, what they bring. */
export function shape(answer: Answer, ids: Ids): string {
  const { status, headers, body, live } = answer;
  const [code = "", told = ""] = [headers["grpc-status"], headers["grpc-message"]];
  if (live) return `${status} ${code} live`;
  const text = body.toString("latin1");
  if (status >= 300) return plainly(`${status} ${code} ${told} ${text}`, ids);
  if (headers["content-type"]?.startsWith("application/json")) return `${status} ${brought(body.toString())}`;
  return plainly(`${status} ${code} ${told} ${AT_END.exec(text)?.[0]}`, ids);
}

/** The names in it, and how many each has. */
function brought(text: string): string {
  if (text === "") return "nothing";
  const parsed = JSON.parse(text) as unknown;
  if (typeof parsed !== "object" || parsed === null) return text;
  const counts = Object.entries(parsed).map(([name, value]) => `${name}${Array.isArray(value) ? ` ${value.length}` : ""}`);
  return counts.filter((each) => !each.startsWith("nextPageToken")).join(", ");
}

/** Without what differs between any two answers, and with the names of ids in their places. */
function plainly(text: string, ids: Ids): string {
  const named = Object.entries(ids)
    .sort(([, a], [, b]) => b.length - a.length)
    .reduce((all, [name, id]) => (id === "" ? all : all.replaceAll(id, `<${name}>`).replaceAll(encodeURIComponent(id), `<${name}>`)), text);
  return named
    .replace(/"value":"[^"]*"/g, "")
    .replace(/grpc-status-details-bin: ?\S+/g, "")
    .replace(/\b[a-z]+_[0-9a-hjkmnp-tv-z]{26}\b/g, "<id>")
    .replace(/\d{8,}/g, "<n>");
}
