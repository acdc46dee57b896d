import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { type RawData, WebSocketServer } from "ws";

/**
 * The exec endpoint of a Kubernetes API server, alone: a process of its own that speaks the websocket protocol v4.channel.k8s.io and runs
 * each command by a local spawn. There is no API server, kubelet or container runtime behind it, no TLS and no authentication, so it answers faster than
 * any cluster. It prints its address, and ends with its standard input.
 *
 * Channels and the form of the status: k8s.io/apiserver, remotecommand (https://github.com/kubernetes/kubernetes).
 */
const PROTOCOL = "v4.channel.k8s.io";
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;

const server = createServer((_request, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ server, handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false) });

sockets.on("connection", (socket, request) => {
  const query = new URL(request.url ?? "/", "http://localhost").searchParams;
  const [program = "", ...args] = query.getAll("command");
  const child = spawn(program, args, { stdio: [query.get("stdin") === "true" ? "pipe" : "ignore", "pipe", "pipe"] });
  const send = (channel: number, data: Uint8Array): void => socket.send(Buffer.concat([Buffer.of(channel), data]));
  child.stdout?.on("data", (data: Buffer) => send(STDOUT, data));
  child.stderr?.on("data", (data: Buffer) => send(STDERR, data));
  child.on("error", (error) => send(STATUS, status(error.message)));
  child.on("close", (code) => {
    send(STATUS, status(code === 0 ? undefined : `command terminated with exit code ${code}`));
    socket.close();
  });
  socket.on("message", (data: RawData) => {
    if (Buffer.isBuffer(data) && data[0] === STDIN) child.stdin?.write(data.subarray(1));
  });
  socket.on("close", () => child.kill());
});

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address !== null && typeof address === "object") process.stdout.write(`http://127.0.0.1:${address.port}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));

function status(failure: string | undefined): Buffer {
  const base = { metadata: {}, status: failure === undefined ? "Success" : "Failure" };
  return Buffer.from(JSON.stringify(failure === undefined ? base : { ...base, message: failure, reason: "NonZeroExitCode" }));
}
