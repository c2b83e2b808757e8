// Makes the page installable, and lets it speak in its own words when the node cannot be reached.

/** The build puts these two in: which build it is, and the files of the first screen. */
declare const __BUILD__: string;
declare const __SHELL__: string[];

const CACHE = `wayside-web-${__BUILD__}`;
const PAGE = "/";
const ICON = "/icon.svg";
const SHELL = [PAGE, ICON, ...__SHELL__];
/** Addresses that all give the one page. */
const PAGES = /^\/($|join\/|w\/|open\/?$|account\/?$)/;

interface Waiting extends Event {
  waitUntil(done: Promise<unknown>): void;
}

interface Fetching extends Event {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

/**
 * Everything that the first screen needs is kept from the first visit on. A worker of a newer build
 * waits until no page of the older one is open: that page's files are still in the cache of its own.
 */
async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL);
}

/** Files below /web/ have a hash in their names: what is kept of them is right for ever. */
async function kept(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const found = await cache.match(request);
  if (found) return found;
  const fresh = await fetch(request);
  if (fresh.ok) await cache.put(request, fresh.clone());
  return fresh;
}

/** Comes from the node; without one, what was kept last has to do. */
async function newest(request: Request, name: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await cache.put(name, fresh.clone());
    return fresh;
  } catch (error) {
    const found = await cache.match(name);
    if (found) return found;
    throw error;
  }
}

/** What other builds have left is of no use to this one. */
async function tidy(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

self.addEventListener("install", (event) => (event as Waiting).waitUntil(install()));
self.addEventListener("activate", (event) => (event as Waiting).waitUntil(tidy()));
self.addEventListener("fetch", (event) => {
  const { request } = event as Fetching;
  const respondWith = (answer: Promise<Response>): void => (event as Fetching).respondWith(answer);
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (pathname.startsWith("/web/")) respondWith(kept(request));
  else if (pathname === ICON) respondWith(newest(request, ICON));
  else if (request.mode === "navigate" && PAGES.test(pathname)) respondWith(newest(request, PAGE));
});
