// The way in, under a reader's name, and the look now and then for what is new.

import { signal } from "@preact/signals";
import * as api from "../api";
import { held, openQueue, reason, tryNow, waiting } from "../queue";
import { forgetUndo, kept, refresh, refreshQuietly, refused } from "./answering";
import { forgetRevision, keyOf, mine, reader, session, worklist } from "./known";
import { askAgain, chosen, select } from "./selection";
import { openSlide } from "./slides";

const POLL_MS = 2_500;

export const isEntering = signal(false); // a known reader's worklist is on its way
export const nameProblem = signal<string | null>(null); // why a name was refused
export const fatal = signal<string | null>(null);

export async function start(): Promise<void> {
  try {
    session.value = await api.getSession();
  } catch (error) {
    fatal.value = String((error as Error).message);
    return;
  }
  const { review, reader: given } = session.value;
  const name = given ?? localStorage.getItem(`wsiamf:${review}:reader`);
  if (name === null) return;
  isEntering.value = true;
  try {
    await takeReader(name);
  } catch (error) {
    nameProblem.value = (error as Error).message; // and the page asks for a name
  } finally {
    isEntering.value = false;
  }
}

export async function takeReader(name: string): Promise<void> {
  const now = session.value!;
  nameProblem.value = null;
  const list = await api.getWorklist(name); // which the server refuses to a name that is none
  localStorage.setItem(`wsiamf:${now.review}:reader`, name);
  reader.value = name;
  forgetRevision();
  forgetUndo();
  worklist.value = list.rows.map(([number, figure, cls, flags, p, x, y]) => ({ slide: number, figure, cls, flags, p, x, y }));
  await refreshQuietly();
  openQueue(now.review, now.blinded ? name : null, kept, refused);
  const first = worklist.value.find((row) => !mine.value.has(keyOf(row))) ?? worklist.value[0];
  if (first !== undefined) select(chosen(first));
  else if (now.slides.length > 0) void openSlide(0);
}

let isLooking = false;

/** Look for what is new, unless that is being done; what did not come while the server was away is asked for again. */
async function look(): Promise<void> {
  if (isLooking) return;
  isLooking = true;
  try {
    await refresh();
    if (waiting.value.length === 0) held.value = null; // else the queue says when what waits goes on
    askAgain();
  } catch (error) {
    forgetUndo();
    if (error instanceof api.ServerError && (error.status === 0 || error.status === 403)) held.value = reason(error);
  } finally {
    isLooking = false;
  }
}

export function poll(): void {
  setInterval(() => {
    if (document.visibilityState === "visible" && waiting.value.length === 0) void look();
  }, POLL_MS);
}

/** Try at once what is tried again and again by itself. */
export function tryAgain(): void {
  if (waiting.value.length > 0) tryNow();
  else void look();
}
