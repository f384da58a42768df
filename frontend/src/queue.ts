// Decisions on their way to the server: one by one, in order, kept in this browser until the server has them.

import { signal } from "@preact/signals";
import { post, ServerError, type Post } from "./api";

export interface About {
  slide: number;
  figure: number | null;
  x: number;
  y: number;
}
export interface Waiting {
  nonce: string;
  post: Post;
  /** The figure as this page numbers it, level-0 px; null of what an earlier page left, whose numbers may have been others. */
  about: About | null;
  /** Whether it went out before, so that the server may have it already. */
  sent: boolean;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

export const waiting = signal<readonly Waiting[]>([]);
/** Why decisions are held back; null while all is well. */
export const held = signal<string | null>(null);

let place = "";
let running = false;
let sending: string | null = null;
let wake: (() => void) | null = null;
let onKept: (one: Waiting, id: number) => Promise<void> = async () => {};
let onRefused: (one: Waiting, why: string) => void = () => {};

/**
 * Take up what earlier pages left unsent, whoever's it is: each body names its reader. Where the server lets a browser be one
 * reader alone, only that reader's; the others' wait for their own page.
 */
export function openQueue(
  review: string,
  only: string | null,
  kept: (one: Waiting, id: number) => Promise<void>,
  refused: (one: Waiting, why: string) => void,
): void {
  onKept = kept;
  onRefused = refused;
  const prefix = `wsiamf:${review}:waiting:`;
  if (!place.startsWith(prefix)) place = prefix + nonce();
  const isOurs = (one: Waiting): boolean => only === null || one.post.body.reader === only;
  const left: Waiting[] = [];
  for (const key of Object.keys(localStorage).filter((one) => one.startsWith(prefix) && one !== place)) {
    // A page that is still open may send them too; the server tells by the nonce that it has them.
    const stored = JSON.parse(localStorage.getItem(key) ?? "[]") as Waiting[];
    const others = stored.filter((one) => !isOurs(one));
    left.push(...stored.filter(isOurs));
    store(key, others);
  }
  set([...left.map((one) => ({ ...one, about: null, sent: true })), ...waiting.value]);
  void run();
}

/** 128 random bits; `crypto.randomUUID` is kept from pages that come over the network without encryption. */
function nonce(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function enqueue(one: Post, about: About): void {
  set([...waiting.value, { nonce: nonce(), post: one, about, sent: false }]);
  void run();
}

/** Take back this reader's last decision that was never sent; false where there is none. */
export function dropLastUnsent(reader: string): boolean {
  const last = waiting.value.filter((one) => one.post.body.reader === reader).at(-1);
  if (last === undefined || last.sent || last.nonce === sending) return false;
  set(waiting.value.filter((one) => one !== last));
  return true;
}

export function tryNow(): void {
  wake?.();
}

function set(list: readonly Waiting[]): void {
  waiting.value = list;
  store(place, list);
}

function store(key: string, list: readonly Waiting[]): void {
  if (list.length === 0) localStorage.removeItem(key);
  else localStorage.setItem(key, JSON.stringify(list));
}

async function run(): Promise<void> {
  if (running) return;
  running = true;
  let wait = FIRST_WAIT_MS;
  try {
    while (waiting.value.length > 0) {
      if ((await send(waiting.value[0]!)) === "done") wait = FIRST_WAIT_MS;
      else {
        await pause(wait);
        wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      }
    }
  } finally {
    running = false;
  }
}

async function send(one: Waiting): Promise<"done" | "later"> {
  sending = one.nonce;
  try {
    const { id } = await post(one.post, one.nonce);
    held.value = null;
    remove(one);
    await onKept(one, id);
    return "done";
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    if (isFinal(error.status)) {
      held.value = null;
      remove(one);
      onRefused(one, error.message);
      return "done";
    }
    held.value = reason(error);
    set(waiting.value.map((other) => (other.nonce === one.nonce ? { ...other, sent: true } : other)));
    return "later";
  } finally {
    sending = null;
  }
}

export function reason(error: ServerError): string {
  if (error.status === 403) return error.message.replace(/\.$/u, "");
  return error.status === 0 ? "No connection to the server" : `The server cannot keep it: ${error.message}`;
}

/** Said no for good: asking again would not help. */
const isFinal = (status: number): boolean => [400, 404, 409, 413, 415, 422].includes(status);

function remove(one: Waiting): void {
  set(waiting.value.filter((other) => other.nonce !== one.nonce));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
