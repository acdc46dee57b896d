import { createSocket } from "node:dgram";
import { once } from "node:events";
import { onTestFinished } from "vitest";

/** What a name has: addresses, or targets with ports. */
export interface Records {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  readonly srv?: ReadonlyArray<{ readonly target: string; readonly port: number }>;
}

const [A, AAAA, SRV] = [1, 28, 33];
const [NO_ERROR, SERVER_FAILURE, NO_NAME] = [0, 2, 3];

/** A name server (RFC 1035) on a port of this machine. `names`: what it knows, which may change; "broken": it fails. Returns its address. */
export async function nameServer(names: Map<string, Records | "broken">): Promise<string> {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => socket.send(answerTo(query, names), from.port, from.address));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  onTestFinished(() => void socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

function answerTo(query: Buffer, names: ReadonlyMap<string, Records | "broken">): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1);
  const known = names.get(labels.join("."));
  const data = known === undefined || known === "broken" ? [] : dataOf(known, type);
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (known === "broken" ? SERVER_FAILURE : known === undefined ? NO_NAME : NO_ERROR), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 6);
  const answers = data.map((each) => {
    const record = Buffer.alloc(12);
    // The name is that of the question.
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt16BE(each.length, 10);
    return Buffer.concat([record, each]);
  });
  return Buffer.concat([head, query.subarray(12, at + 5), ...answers]);
}

function dataOf({ a = [], aaaa = [], srv = [] }: Records, type: number): Buffer[] {
  if (type === A) return a.map((ip) => Buffer.from(ip.split(".").map(Number)));
  if (type === AAAA)
    return aaaa.map((ip) =>
      Buffer.from(ip.split(":").flatMap((part) => [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 255])),
    );
  if (type !== SRV) return [];
  return srv.map(({ target, port }) => {
    const fixed = Buffer.alloc(6);
    fixed.writeUInt16BE(port, 4);
    const labels = target.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
    return Buffer.concat([fixed, ...labels, Buffer.alloc(1)]);
  });
}
