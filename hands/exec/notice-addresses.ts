import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** An address that may be posted to. */
interface Address {
  readonly protocol: string;
  readonly host: string;
  /** `undefined`: any. */
  readonly port: string | undefined;
  readonly path: string;
}

const FORM = /^(https?):\/\/([^/:@?#\s]+|\[[0-9a-fA-F:.]+\])(?::(\d+|\*))?(\/[^?#\s]*)$/;

/** The addresses that ends of execs may be told to: those that an operator named, and no other that a caller thinks of. */
export class NoticeAddresses {
  readonly #addresses: readonly Address[];

  private constructor(addresses: readonly Address[]) {
    this.#addresses = addresses;
  }

  /** Read `http://dispatcher:7433/wake`, several with commas between. A port `*` is any. Throws an Error that names what is none. */
  static parse(text: string): NoticeAddresses {
    const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
    return new NoticeAddresses(entries.map(readAddress));
  }

  /** PERMISSION_DENIED `address_refused` for any other address. */
  check(url: URL): void {
    const isNamed = this.#addresses.some(
      ({ protocol, host, port, path }) =>
        url.protocol === protocol && url.hostname === host && url.pathname === path && (port === undefined || url.port === port),
    );
    if (isNamed && url.search === "" && url.username === "" && url.password === "") return;
    throw new HarnessError(
      Code.PermissionDenied,
      "address_refused",
      "hands tells of ends at the addresses of HANDS_NOTIFY_URL alone: set it to the dispatcher's, as http://dispatcher:7433/wake",
    );
  }
}

function readAddress(text: string): Address {
  const [, scheme, host, port, path] = FORM.exec(text) ?? [];
  const plain = `${scheme}://${host}${port === undefined || port === "*" ? "" : `:${port}`}${path}`;
  if (scheme === undefined || !URL.canParse(plain)) throw new Error(`${JSON.stringify(text)} is no address as http://dispatcher:7433/wake`);
  const url = new URL(plain);
  return { protocol: url.protocol, host: url.hostname, port: port === "*" ? undefined : url.port, path: url.pathname };
}
