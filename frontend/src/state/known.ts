// What the server has told of the review and its answers, and what is on its way to it.

import { computed, signal } from "@preact/signals";
import * as api from "../api";
import type { Answer, Counts, Dispute, Given, Session, WorkRow } from "../api";
import { waiting } from "../queue";

export const session = signal<Session | null>(null);
export const reader = signal<string | null>(null);
export const worklist = signal<WorkRow[]>([]);
export const answers = signal<Given[]>([]);
export const disputes = signal<Dispute[]>([]);
export const counts = signal<Counts | null>(null);

export const keyOf = (one: { slide: number; figure: number }): string => `${one.slide}:${one.figure}`;

/** Own answers by figure; decisions on their way count as given, so that nothing flickers. */
export const mine = computed(() => {
  const found = new Map<string, Answer>();
  for (const one of answers.value) {
    if (one.reader === reader.value && one.figure !== null) found.set(`${one.slide}:${one.figure}`, one.answer);
  }
  return found;
});
export const pending = computed(() => {
  const found = new Map<string, Answer>();
  for (const { post, about } of waiting.value) {
    if (post.path !== "/api/answers" || post.body.reader !== reader.value || about === null) continue;
    found.set(`${about.slide}:${about.figure}`, post.body.answer);
  }
  return found;
});
export const added = computed(() => answers.value.filter((one) => one.figure === null));
export const nAnswered = computed(() => worklist.value.filter((row) => mine.value.has(keyOf(row))).length);

/** What readers said of an added figure. */
export const allAt = (one: { slide: number; x: number; y: number }): Given[] =>
  added.value.filter((given) => given.slide === one.slide && Math.hypot(given.x - one.x, given.y - one.y) < 1);

/** This reader's own answer about an added figure, if there is one. */
export const ownAt = (one: { slide: number; x: number; y: number }): Given | null =>
  allAt(one).find((given) => given.reader === reader.value) ?? null;

// --- which list of answers is the latest -----------------------------------------------------------------------------

interface LastNumbers {
  revision: number; // of `answers`
  kept: number; // number of the last decision that the server has said to have; a list of an earlier revision lacks it
  withdrawn: number; // of the last withdrawal: what stands where an answer was taken back is known from its revision on
}
const NOTHING_YET: LastNumbers = { revision: -1, kept: 0, withdrawn: 0 };
let last = NOTHING_YET;

/** Ask for everything anew: blinded, every reader's answers are numbered apart. */
export function forgetRevision(): void {
  last = NOTHING_YET;
}

/** Fetch what others, or this reader in another browser, have answered since; whether there was anything. */
export async function fetchAnswers(): Promise<boolean> {
  const name = reader.value;
  if (name === null) return false;
  const found = await api.getAnswers(name, last.revision);
  if (found.answers === undefined || name !== reader.value || api.isOutdated.value) return false;
  if (found.revision < Math.max(last.revision, last.kept)) return false; // overtaken: another brings what is new
  answers.value = found.answers;
  last = { ...last, revision: found.revision };
  return true;
}

/** What no blinded reader gets. */
export async function fetchShared(): Promise<void> {
  const [now, list] = await Promise.all([api.getCounts(), api.getDisputes()]);
  counts.value = now;
  disputes.value = list.disputes;
}

/** The server has a decision under that number; it stands for what this reader said there before. */
export function addKept(given: Given): void {
  answers.value = [...answers.value.filter((old) => !isSame(old, given)), given];
}

/** The server has taken an answer back. */
export function dropWithdrawn(name: string, gone: number, withdrawal: number): void {
  answers.value = answers.value.filter((old) => old.reader !== name || old.id !== gone);
  last = { ...last, withdrawn: withdrawal };
}

export function noteKept(id: number): void {
  last = { ...last, kept: Math.max(last.kept, id) };
}

/** Whether it is not known yet what stands where this reader took an answer back. */
export const lacksWithdrawal = (): boolean => last.revision < last.withdrawn;

const isSame = (old: Given, now: Given): boolean =>
  old.reader === now.reader &&
  old.slide === now.slide &&
  old.figure === now.figure &&
  (now.figure !== null || Math.hypot(old.x - now.x, old.y - now.y) < 1);
