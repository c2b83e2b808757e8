// The browser's database, as keys and secrets are kept in it: what is said to be kept is on the disk.

/** One deed in one table of a database. */
export type Table = <T>(name: string, mode: IDBTransactionMode, deed: (kept: IDBObjectStore) => IDBRequest<T>) => Promise<T>;

/** A database with its tables, whose rows are found by one member; it is open for as long as a deed takes. */
export function database(called: string, tables: readonly string[], keyPath: string): Table {
  return async (name, mode, deed) => {
    const opened = await open(called, tables, keyPath);
    try {
      const transaction = opened.transaction(name, mode, { durability: "strict" });
      const asked = deed(transaction.objectStore(name));
      await done(transaction);
      return asked.result;
    } finally {
      opened.close();
    }
  };
}

/** What was written is kept only when the whole transaction is. */
function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(refused(transaction.error));
  });
}

function open(called: string, tables: readonly string[], keyPath: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(called, 1);
    asked.onupgradeneeded = () => tables.forEach((name) => asked.result.createObjectStore(name, { keyPath }));
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(refused(asked.error));
  });
}

const refused = (error: DOMException | null): Error => error ?? new Error("the browser's database refused");
