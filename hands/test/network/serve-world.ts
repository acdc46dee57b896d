import { createSocket } from "node:dgram";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

/** Serves HTTP on addresses (`203.0.113.1:80`): its files, and for anything else its address. `dns=`: answers every name with an address. */
const [directory = "", ...places] = process.argv.slice(2);

const listening = places.map(async (place) => {
  if (place.startsWith("dns=")) return serveNames(place.slice("dns=".length));
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(place) ?? [];
  const server = createServer((request, response) => {
    const file = createReadStream(join(directory, new URL(request.url ?? "/", "http://world").pathname));
    file.on("error", () => response.end(`hello from ${host}\n`));
    file.pipe(response);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(Number(port), host, resolve));
});

/** `10.53.53.53:203.0.113.1`: who answers, and with what. */
async function serveNames(place: string): Promise<void> {
  const [at = "", answer = ""] = place.split(":");
  const socket = createSocket("udp4");
  socket.on("message", (question, from) => {
    let end = 12;
    while (question[end] !== 0 && end < question.length) end += (question[end] ?? 0) + 1;
    const isIPv4 = question.readUInt16BE(end + 1) === 1;
    const header = Buffer.from([question[0] ?? 0, question[1] ?? 0, 0x81, 0x80, 0, 1, 0, isIPv4 ? 1 : 0, 0, 0, 0, 0]);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...answer.split(".").map(Number)]);
    socket.send(Buffer.concat([header, question.subarray(12, end + 5), isIPv4 ? record : Buffer.alloc(0)]), from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => socket.once("error", reject).bind(53, at, resolve));
}

await Promise.all(listening);
process.stdout.write("listening\n");
