import type {
  Branch,
  Context,
  Entry,
  EntryQuery,
  ListElement,
  ListReadOptions,
  Session,
  SessionMetadata,
  SessionMutation,
  SessionMutationCallback,
  SessionStats,
  StorageBackedSession,
  StorageBranchScan,
  StoredValue,
  Value,
  ValueList,
} from "@earendil-works/pi-agent-core";

/** A session that is open: its closing waits for every call that came before it, and refuses those that come later. */
export class OpenSession implements Session {
  readonly metadata: SessionMetadata;
  readonly idGenerator: Session["idGenerator"];
  readonly #session: StorageBackedSession;
  readonly #onClose: () => void;
  readonly #admitted = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(session: StorageBackedSession, onClose: () => void) {
    this.#session = session;
    this.#onClose = onClose;
    this.metadata = session.metadata;
    this.idGenerator = session.idGenerator;
  }

  async beginMutation(context: Context): Promise<SessionMutation> {
    const ended = Promise.withResolvers<void>();
    const mutation = await this.#admit(() => {
      this.#admitted.add(ended.promise);
      return this.#session.beginMutation(context);
    }).catch((error: unknown) => {
      this.#admitted.delete(ended.promise);
      ended.resolve();
      throw error;
    });
    const end = async (endContext: Context): Promise<void> => {
      await mutation.end(endContext).finally(() => {
        this.#admitted.delete(ended.promise);
        ended.resolve();
      });
    };
    if (this.#closing !== undefined) {
      await end(context);
      throw closed();
    }
    return {
      commit: (writes, each) => mutation.commit(writes, each),
      end,
      getEntries: (ids, each) => mutation.getEntries(ids, each),
      getStats: (each) => mutation.getStats(each),
      getValue: (address, each) => mutation.getValue(address, each),
      scanValues: (prefix, each) => mutation.scanValues(prefix, each),
      readList: (address, options, each) => mutation.readList(address, options, each),
      scanBranch: (query, each) => mutation.scanBranch(query, each),
    };
  }

  mutate<T>(mutation: SessionMutationCallback<T>, context: Context): Promise<T> {
    // Its turn may come when the session is closing already.
    const inTurn: SessionMutationCallback<T> = (mutator, each) => {
      if (this.#closing !== undefined) throw closed();
      return mutation(mutator, each);
    };
    return this.#admit(() => this.#session.mutate(inTurn, context));
  }

  getEntries(ids: string[], context: Context): Promise<Map<string, Entry>> {
    return this.#admit(() => this.#session.getEntries(ids, context));
  }

  getEntry(id: string, context: Context): Promise<Entry | undefined> {
    return this.#admit(() => this.#session.getEntry(id, context));
  }

  getValue<T>(address: Value<T>, context: Context): Promise<StoredValue<T> | undefined> {
    return this.#admit(() => this.#session.getValue(address, context));
  }

  scanValues<T>(prefix: Value<T>, context: Context): Promise<StoredValue<T>[]> {
    return this.#admit(() => this.#session.scanValues(prefix, context));
  }

  readList<T>(address: ValueList<T>, options: ListReadOptions | undefined, context: Context): Promise<ListElement<T>[]> {
    return this.#admit(() => this.#session.readList(address, options, context));
  }

  scanBranch(query: StorageBranchScan, context: Context): Promise<Entry[]> {
    return this.#admit(() => this.#session.scanBranch(query, context));
  }

  getStats(context: Context): Promise<SessionStats> {
    return this.#admit(() => this.#session.getStats(context));
  }

  getName(context: Context): Promise<string | undefined> {
    return this.#admit(() => this.#session.getName(context));
  }

  getLabel(targetId: string, context: Context): Promise<string | undefined> {
    return this.#admit(() => this.#session.getLabel(targetId, context));
  }

  findEntries(query: EntryQuery | undefined, context: Context): Promise<Entry[]> {
    return this.#admit(() => this.#session.findEntries(query, context));
  }

  findEntry(query: EntryQuery | undefined, context: Context): Promise<Entry | undefined> {
    return this.#admit(() => this.#session.findEntry(query, context));
  }

  async branch(name: string, context: Context): Promise<Branch | undefined> {
    const branch = await this.#admit(() => this.#session.branch(name, context));
    return branch && this.#wrap(branch);
  }

  async createBranch(name: string, at: string | null, context: Context): Promise<Branch> {
    return this.#wrap(await this.#admit(() => this.#session.createBranch(name, at, context)));
  }

  setValue<T>(address: Value<T>, next: NoInfer<T>, context: Context): Promise<void> {
    return this.#admit(() => this.#session.setValue(address, next, context));
  }

  deleteValue<T>(address: Value<T>, context: Context): Promise<void> {
    return this.#admit(() => this.#session.deleteValue(address, context));
  }

  appendList<T>(address: ValueList<T>, element: NoInfer<T>, context: Context): Promise<void> {
    return this.#admit(() => this.#session.appendList(address, element, context));
  }

  deleteList<T>(address: ValueList<T>, context: Context): Promise<void> {
    return this.#admit(() => this.#session.deleteList(address, context));
  }

  setName(name: string | undefined, context: Context): Promise<void> {
    return this.#admit(() => this.#session.setName(name, context));
  }

  setLabel(targetId: string, label: string | undefined, context: Context): Promise<void> {
    return this.#admit(() => this.#session.setLabel(targetId, label, context));
  }

  close(context: Context): Promise<void> {
    this.#closing ??= Promise.allSettled([...this.#admitted])
      .then(() => this.#session.close(context))
      .finally(this.#onClose);
    return this.#closing;
  }

  #wrap(branch: Branch): Branch {
    return {
      name: branch.name,
      getTipId: (context) => this.#admit(() => branch.getTipId(context)),
      findEntries: (query, context) => this.#admit(() => branch.findEntries(query, context)),
      findEntry: (query, context) => this.#admit(() => branch.findEntry(query, context)),
      appendMessage: (message, context) => this.#admit(() => branch.appendMessage(message, context)),
      appendCustomEntry: (type, data, context) => this.#admit(() => branch.appendCustomEntry(type, data, context)),
    };
  }

  async #admit<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw closed();
    const result = call();
    this.#admitted.add(result);
    try {
      return await result;
    } finally {
      this.#admitted.delete(result);
    }
  }
}

function closed(): Error {
  return new Error("the session is closed");
}
