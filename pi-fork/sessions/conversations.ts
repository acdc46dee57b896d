import { type IdleSession, parseStoreUrl, sessionKey } from "@serverless-harness/session";

/**
 * Removes conversations, for whoever tidies the store. It knows how they are kept, and loads nothing of Pi.
 */
export interface Conversations {
  /**
   * Remove the conversation of a session that has no leaf any more. Idempotent. False, and nothing is removed, if the session has got a leaf
   * or another owner since.
   */
  remove(session: IdleSession): Promise<boolean>;
  /** Let go of the store. Idempotent. */
  close(): void;
}

/** Open the conversations in the leaf store at an address, which is there. Throws a ConfigError as `openLeafStore` does. */
export async function openConversations(storeUrl: string): Promise<Conversations> {
  const address = parseStoreUrl(storeUrl);
  return address.kind === "redis" ? inRedis(address.redis) : inSqlite(address.path);
}

async function inSqlite(path: string): Promise<Conversations> {
  const [{ Connection, isStillIdle, openDatabase }, { removeRows }] = await Promise.all([
    import("@serverless-harness/session/sqlite"),
    import("./sqlite/rows.ts"),
  ]);
  const connection = new Connection(openDatabase(path, { create: false }));
  let isOpen = true;
  return {
    async remove(session) {
      return connection.transaction(() => {
        if (!isStillIdle(connection, session)) return false;
        // Pi makes its tables with the first conversation.
        if (connection.one("SELECT 1 FROM sqlite_schema WHERE name = 'sessions'") !== undefined)
          removeRows(connection, sessionKey(session));
        return true;
      });
    },
    close() {
      if (isOpen) connection.close();
      isOpen = false;
    },
  };
}

async function inRedis(address: Extract<ReturnType<typeof parseStoreUrl>, { kind: "redis" }>["redis"]): Promise<Conversations> {
  const [{ Database, sessionName, text }, { SessionKeys }] = await Promise.all([
    import("@serverless-harness/session/redis"),
    import("./redis/session-keys.ts"),
  ]);
  const database = await Database.open(address);
  return {
    async remove({ tenant, sessionId, epoch }) {
      const keys = new SessionKeys(database, sessionName(tenant, sessionId), undefined);
      for (;;) {
        const more = text(await keys.read("remove", "", epoch));
        if (more !== "1") return more === "0";
      }
    },
    close: () => database.close(),
  };
}
