import { expect, test } from "vitest";
import { OWNERS, output, startJailedBy } from "./owners.ts";

test.each(OWNERS)("the sandbox finds itself by its own name, with hands run by %s", async (owner) => {
  const daemon = await startJailedBy(owner);
  const workspace = await daemon.connect();
  expect(await output(workspace, "hostname; hostname -f; getent hosts sandbox | tr -s ' '")).toBe("sandbox\nsandbox\n127.0.1.1 sandbox\n");
  const lookup = `require("node:dns").lookup(require("node:os").hostname(), (error, address) => console.log(error ?? address))`;
  expect(await output(workspace, `node -e '${lookup}'`)).toBe("127.0.1.1\n");
  expect(await output(workspace, `python3 -c 'import socket; print(socket.gethostbyname(socket.gethostname()), socket.getfqdn())'`)).toBe(
    "127.0.1.1 sandbox\n",
  );
});
