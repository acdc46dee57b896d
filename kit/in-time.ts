/**
 * What `call` brings within `ms` milliseconds; rejects with what `late` makes otherwise. For what may heed no deadline: it goes on, unheard. The
 * time counts from before the call, so that `late` comes first if the call has the same limit itself.
 */
export async function inTime<T>(call: () => Promise<T>, ms: number, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([call(), promise]);
  } finally {
    clearTimeout(timer);
  }
}
